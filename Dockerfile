# The proxy as an image: docker build -t handfast .
#
#   docker run --read-only --cap-drop ALL --shm-size 256m -p 443:8443 \
#     -v ./handfast.yaml:/etc/handfast/handfast.yaml:ro handfast proxy --config /etc/handfast/handfast.yaml
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc tsconfig.json ./
RUN npm ci --ignore-scripts
COPY lib lib
COPY plugins plugins
RUN npx tsc -p .

FROM node:24-slim AS packages
WORKDIR /packages
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-slim
# The folder that `handfast` is started in; nothing is written there.
WORKDIR /app
COPY package.json package.json
COPY --from=packages /packages/node_modules node_modules
COPY --from=build /build/dist dist
# The image brings this user, 1000. Ports below 1024 are for the host to map.
USER node
EXPOSE 8443 7443
STOPSIGNAL SIGTERM
# With admin.listen: 9443; the port says no more outside than what it says inside.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9443/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/lib/cli/main.js"]
CMD ["proxy", "--help"]
