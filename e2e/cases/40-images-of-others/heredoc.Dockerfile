FROM scratch AS text
COPY <<EOF /text
FROM nothing
EOF
FROM SHOP
