"""The ASGI application: routes, errors, the page that documents them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import metadata, resources

from fastapi import FastAPI, HTTPException, Response, WebSocket
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from server.api import errors, openapi
from server.api.access import Access
from server.api.deps import Intake
from server.api.errors import problem, problem_value
from server.api.head import HeadAsGet
from server.api.middleware import Edge
from server.api.routes import events, health, imports, jobs, models, results, stream_views, streams, subscribe, tickets
from server.api.tickets import Tickets
from server.api.v2 import inference, repository, statistics

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_ICON = "favicon-32x32.png"
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    _ICON: "image/png",
}


def build(intake: Intake, lifespan: Lifespan, *, key: str | None = None) -> FastAPI:
    """The application, without its runtime: `lifespan` puts that into `app.state.runtime` before the first request.

    Args:
        intake: where uploads go.
        lifespan: starts and stops the runtime.
        key: that callers must show; None: anybody may call.
    """
    app = FastAPI(
        title="vidserve",
        version=metadata.version("vidserve"),
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A path that ends in a slash names something whose name is empty, and not a list.
        redirect_slashes=False,
    )
    app.state.intake = intake
    app.state.tickets = Tickets()
    app.state.closed = key is not None
    app.state.undeclared = inference.MODELS
    errors.install(app, openapi.methods)
    v1 = (jobs, results, streams, stream_views, subscribe, events, models, imports, tickets)
    for routes in (*v1, repository, statistics, inference, health):
        app.include_router(routes.router)
    _document(app)
    app.add_api_websocket_route("/{path:path}", _no_socket)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Access, key=key, tickets=app.state.tickets)
    app.add_middleware(Edge)
    return app


async def _no_socket(socket: WebSocket) -> None:
    await socket.send_denial_response(
        problem(
            problem_value(
                404,
                "not_found",
                f"There is no WebSocket at {socket.url.path}.",
                hint="There are /v1/ws and /v1/streams/{id}/ws.",
            ),
            path=socket.url.path,
        )
    )


def _document(app: FastAPI) -> None:
    # Relative, as all links of the page: a proxy may have put the server below a path of its own.
    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("docs")

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return RedirectResponse(f"docs/{_ICON}")

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(openapi.document(app))

    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="vidserve",
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url=f"docs/{_ICON}",
        )

    # From the installed package and not from somebody's server: the page works where there is no internet.
    @app.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise HTTPException(404)
        content = (resources.files("fastapi_swagger") / "resources" / name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=86400"})
