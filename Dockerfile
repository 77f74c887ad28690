# One image for both roles, `web` (the default) and `dispatch`:
#
#   docker build --tag verify-service .
#   docker run --env-file verify.env --env VERIFY_CONFIG=/verify.toml --volume "$PWD/verify.toml:/verify.toml:ro" \
#     --publish 8080:8080 verify-service
#
# and for the other role, in place of the last line: --no-healthcheck verify-service dispatch
# With what aws, smpp and traces need: docker build --build-arg LIBRARIES=vendors --tag verify-service .

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The locked libraries first: these layers stay when only the code has changed. /opt/verify is all that goes on, so
# neither pip nor what builds the package is there for an intruder to use.
COPY requirements requirements
ARG LIBRARIES=run
RUN python -m venv --without-pip /opt/verify \
    && pip --python /opt/verify/bin/python install --require-hashes --only-binary :all: \
        -r "requirements/${LIBRARIES}.txt" \
    && pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE openapi.yaml ./
COPY verify_service verify_service
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && pip --python /opt/verify/bin/python install --no-deps /wheel/*.whl

FROM python:3.13-slim
LABEL org.opencontainers.image.title="verify-service" \
      org.opencontainers.image.description="Self-hosted one-time codes by text message" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/verify/bin:$PATH \
    PYTHONUNBUFFERED=1
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin verify
COPY --from=build /opt/verify /opt/verify
USER 10001
EXPOSE 8080
# `dispatch` serves nothing, so it has nothing to ask: run that role with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["verify-service"]
CMD ["web", "--host", "0.0.0.0"]
