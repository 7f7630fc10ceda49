"""One mistake of a user, one line."""

from fcnlib.errors import InputError


def test_a_message_is_one_line_of_what_can_be_printed():
    assert str(InputError("a folder/é: no such file")) == "a folder/é: no such file"
    assert str(InputError("a\nb\x1b[2J\udc80: no such file")) == r"a\nb\x1b[2J\udc80: no such file"
