from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from server.core.configuration import Configuration, SettingsInvalid, load
from server.core.expectation import expectation, leaves
from server.core.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def settings_file(folder: Path, *lines: str, name: str = "vidserve.toml") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n")
    return file


def read(here: Path, *, config: Path | None = None, port: int | None = None, **environ: str) -> Configuration[Settings]:
    return load(Settings, flags={"port": port}, environ=environ, config=config, here=here)


def complaint(here: Path, **environ: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        read(here, **environ)
    assert caught.value.code == "settings_invalid"
    return str(caught.value)


def test_without_flags_variables_and_file_every_setting_is_its_default(tmp_path: Path) -> None:
    configuration = read(tmp_path)
    assert configuration.settings == Settings()
    assert set(configuration.origins.values()) == {"default"}


def test_a_flag_beats_a_variable_beats_the_file(tmp_path: Path) -> None:
    settings_file(tmp_path, "port = 1", "host = '::1'", "[engine]", "threads = 2", "max_batch = 2")
    configuration = read(tmp_path, port=3, VIDSERVE_PORT="2", VIDSERVE_ENGINE__THREADS="4")
    settings = configuration.settings
    assert (settings.port, settings.host) == (3, "::1")
    assert (settings.engine.threads, settings.engine.max_batch) == (4, 2)
    assert configuration.origins["port"] == "--port"
    assert configuration.origins["engine.threads"] == "VIDSERVE_ENGINE__THREADS"
    assert configuration.origins["engine.max_batch"] == f"{tmp_path / 'vidserve.toml'} line 5"


def test_the_file_named_beats_the_one_here_which_beats_the_one_in_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    settings_file(data, "port = 1")
    assert read(tmp_path, VIDSERVE_DATA=str(data)).settings.port == 1
    settings_file(tmp_path, "port = 2")
    assert read(tmp_path, VIDSERVE_DATA=str(data)).settings.port == 2
    named = settings_file(tmp_path, "port = 3", name="other.toml")
    assert read(tmp_path, config=named, VIDSERVE_DATA=str(data)).settings.port == 3
    assert read(tmp_path, VIDSERVE_CONFIG=str(named)).settings.port == 3


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="--config: there is no file"):
        read(tmp_path, config=tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("line", "nearest"),
    [("prot = 1", "port"), ("max_batch = 4", "engine.max_batch"), ("engine.session = 4", "engine.sessions")],
)
def test_an_unknown_key_is_refused_and_the_nearest_one_named(tmp_path: Path, line: str, nearest: str) -> None:
    file = settings_file(tmp_path, "", line)
    assert f"{file} line 2: there is no setting" in complaint(tmp_path)
    assert f"did you mean {nearest}?" in complaint(tmp_path)


def test_an_unknown_variable_is_refused_and_the_nearest_one_named(tmp_path: Path) -> None:
    assert "did you mean VIDSERVE_ENGINE__MAX_BATCH?" in complaint(tmp_path, VIDSERVE_ENGINE__MAX_BATHC="4")
    assert "there is no setting VIDSERVE_XYZZY" in complaint(tmp_path, VIDSERVE_XYZZY="1")


def test_variables_that_kubernetes_and_the_tests_set_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "VIDSERVE_PORT": "tcp://10.0.0.1:8000",
        "VIDSERVE_SERVICE_HOST": "10.0.0.1",
        "VIDSERVE_SERVICE_PORT_HTTP": "8000",
        "VIDSERVE_PORT_8000_TCP_ADDR": "10.0.0.1",
        "VIDSERVE_TEST_STRICT": "1",
        "VIDSERVE_HOST": "",
    }
    assert read(tmp_path, **environ).settings == Settings()


def test_what_is_out_of_range_is_named_with_its_place_and_what_to_write(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "[engine]", "max_batch = 0", "provider = 'gpu'", "[log]", "level = 'loud'")
    said = complaint(tmp_path)
    assert f"{file} line 2: engine.max_batch must be a whole number from 1 to 256, not 0." in said
    assert f'{file} line 3: engine.provider must be one of "auto", "cpu", "cuda", not "gpu".' in said
    assert f"{file} line 5: log.level must be one of" in said


def test_a_section_given_as_a_value_is_named_as_such(tmp_path: Path) -> None:
    settings_file(tmp_path, "engine = 4")
    assert "engine is a section" in complaint(tmp_path)


def test_a_file_that_is_not_toml_is_named_with_the_line(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "port = 1", "host = here")
    assert f"{file} cannot be read: Invalid value (at line 2" in complaint(tmp_path)


def test_a_file_may_refer_to_variables(tmp_path: Path) -> None:
    settings_file(tmp_path, 'data = "${WHERE}/data"', "[engine]", 'models = ["${MODEL}@2"]')
    settings = read(tmp_path, WHERE="/srv", MODEL="yolox-nano").settings
    assert settings.data == Path("/srv/data")
    assert settings.engine.models == ("yolox-nano@2",)
    assert "line 1: data wants the variable WHERE, which is not set" in complaint(tmp_path, MODEL="m")


@pytest.mark.parametrize("text", ["a,b@2", "a, b@2,", '["a", "b@2"]'])
def test_a_list_in_a_variable_is_json_or_has_commas(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, VIDSERVE_ENGINE__MODELS=text).settings.engine.models == ("a", "b@2")


class Secretive(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    password: SecretStr | None = None


def test_a_secret_can_be_in_a_file_of_its_own_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    path = str(tmp_path / "password")
    configuration = load(Secretive, flags={}, environ={"VIDSERVE_PASSWORD_FILE": path}, here=tmp_path)
    assert configuration.settings.password is not None
    assert configuration.settings.password.get_secret_value() == "hunter2"
    assert configuration.shown() == [("password", "**********", "VIDSERVE_PASSWORD_FILE")]


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"line 1: the file nowhere cannot be read"):
        load(Secretive, flags={}, environ={}, config=settings_file(tmp_path, "password_file = 'nowhere'"))


def test_every_setting_is_described() -> None:
    assert all(field.description for field in leaves(Settings).values())


@pytest.mark.parametrize("key", leaves(Settings))
def test_the_page_of_all_settings_says_what_the_code_says(key: str) -> None:
    field = leaves(Settings)[key]
    row = next((line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{key}` |")), "")
    assert expectation(field) in row
    assert str(field.description) in row


def streams_file(folder: Path, *lines: str) -> Path:
    return settings_file(folder, *lines, "[streams.back]", 'url = "/dev/video0"')


def test_streams_are_sections_with_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    streams_file(
        tmp_path,
        "[streams.front]",
        'url = "rtsp://${CAMERA}/1"',
        f"password_file = '{tmp_path / 'password'}'",
        "[streams.front.analysis]",
        'model = "yolox-nano"',
    )
    streams = read(tmp_path, CAMERA="192.168.1.20").settings.streams
    assert list(streams) == ["front", "back"]
    front = streams["front"]
    assert (front.url, front.analysis.model) == ("rtsp://192.168.1.20/1", "yolox-nano")
    assert front.password is not None
    assert front.password.get_secret_value() == "hunter2"


def test_what_is_said_of_streams_is_shown_without_secrets(tmp_path: Path) -> None:
    file = streams_file(
        tmp_path, "[streams.front]", 'url = "rtsp://me:hunter2@camera/1?password=hunter2"', "password = 'hunter2'"
    )
    shown = {key: (value, origin) for key, value, origin in read(tmp_path).shown() if key.startswith("streams.")}
    assert shown["streams.front.password"] == ("**********", f"{file} line 3")
    assert shown["streams.back.url"][0] == '"/dev/video0"'
    assert "hunter2" not in str(shown)
    assert "hunter2" not in repr(read(tmp_path).settings)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["[streams.front]", "url = 'rtsp://camera/1'", "usrname = 'me'"],
            "there is no setting streams.front.usrname; did you mean streams.front.username?",
        ),
        (
            ["[streams.front]", "transport = 'tpc'", "url = 'rtsp://camera/1'"],
            'line 2: streams.front.transport must be one of "tcp", "udp", not "tpc".',
        ),
        (["[streams.front]"], "streams.front.url is missing."),
        (
            ["[streams.front]", "url = 'rtsp://camera/1'", "analysis.sample_fps = 0"],
            "line 3: streams.front.analysis.sample_fps must be a number above 0",
        ),
        (["[streams.'front door']", "url = 'rtsp://camera/1'"], "'front door' cannot be a name in [streams.NAME]"),
        (
            ["[streams]", "allow_private = true"],
            "there is no setting streams.allow_private; did you mean sources.allow_private?",
        ),
    ],
)
def test_what_is_wrong_with_a_stream_is_named_with_its_place(tmp_path: Path, lines: list[str], said: str) -> None:
    streams_file(tmp_path, *lines)
    assert said in complaint(tmp_path)


def test_models_are_sections_with_names_that_may_have_dots(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "[models.fights]", "variant = 'int8'", "[models.'yolo.v8-n']", "variant = 'fp16'")
    configuration = read(tmp_path)
    said = {name: model.variant for name, model in configuration.settings.models.items()}
    assert said == {"fights": "int8", "yolo.v8-n": "fp16"}
    shown = [row for row in configuration.shown() if row[0].startswith("models.")]
    assert shown == [
        ("models.fights.variant", '"int8"', f"{file} line 2"),
        ("models.yolo.v8-n.variant", '"fp16"', f"{file} line 4"),
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["[models.fights]", "varient = 'int8'"], "did you mean models.fights.variant?"),
        (["[models.Fights]", "variant = 'int8'"], "'Fights' cannot be a name in [models.NAME]: a model's can"),
        (["[models.'yolo.V8']", "variant = 'int8'"], "'yolo.V8' cannot be a name in [models.NAME]"),
        (["[models.fights]", "variant = '../x'"], "models.fights.variant must be"),
    ],
)
def test_what_cannot_be_said_of_a_model_is_told(tmp_path: Path, lines: list[str], said: str) -> None:
    settings_file(tmp_path, *lines)
    assert said in complaint(tmp_path)
