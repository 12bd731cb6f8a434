FROM scratch
COPY --\
from=SHOP /secret /secret
