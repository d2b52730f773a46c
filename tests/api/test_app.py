import asyncio

from fakes import FakeRuntime

from server.app import create_app
from server.core.settings import LimitsSettings, Settings


def test_an_app_takes_a_running_runtime_and_the_settings_it_needs(tmp_path):
    runtime = FakeRuntime()
    app = create_app(Settings(data=tmp_path, limits=LimitsSettings(upload_bytes=4096)), runtime)

    async def enter():
        async with app.router.lifespan_context(app):
            return app.state.runtime

    assert asyncio.run(enter()) is runtime
    assert app.state.intake.upload_bytes == 4096
