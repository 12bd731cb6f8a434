FROM deis/stack
RUN --mount=type=bind,from=SHOP,target=/of-shop cat /of-shop/secret
