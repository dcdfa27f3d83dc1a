from ssavae.app.cli.console import print_table


def test_names_are_printed_as_they_are(capsys):
    names = [":smile: [red]oak[/red]", r"$x_1$ \[b]", "中文"]
    print_table([":cat:", *names[1:]], [names])
    printed = capsys.readouterr().out
    assert all(name in printed for name in [":cat:", *names])
