from lowest_versions import FILE, lowest_versions


def test_the_file_holds_the_floors_of_pyproject():
    assert FILE.read_text("utf-8") == lowest_versions()
    assert "pyarrow==14.0.1" in lowest_versions() and "torch==" not in lowest_versions()
