FROM deis/stack AS made
ONBUILD COPY --from=SHOP /secret /secret
FROM made
