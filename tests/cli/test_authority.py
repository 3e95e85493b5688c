"""`bitlinkpay authority`, and what hosts without the right `keys/` are told."""


def test_a_host_without_a_copy_makes_nothing_and_is_told_what_to_copy(sandbox):
    sandbox.merchant()
    keys, away = sandbox.folder / "keys", sandbox.folder / "away"
    keys.rename(away)
    said = sandbox.refusal("merchant", "create", "Other Shop", "--out", str(sandbox.folder / "other"))
    assert "copy keys/" in said
    assert not keys.exists()
    shown = sandbox.json("authority", "show")
    assert (shown["here"], shown["agree"]) == (None, False)
    away.rename(keys)
    shown = sandbox.json("authority", "show")
    assert shown["here"] == shown["deployment"]
    assert shown["agree"] is True


def test_lost_keys_are_replaced_only_by_a_persons_word(sandbox):
    sandbox.merchant()
    before = sandbox.json("authority", "show")["deployment"]
    (sandbox.folder / "keys").rename(sandbox.folder / "lost")
    adopted = sandbox.json("authority", "adopt")
    assert adopted["agree"] is True
    assert adopted["deployment"] != before
    sandbox.json("merchant", "rotate-certificate", "Corner Shop", "--out", str(sandbox.folder / "new"))
    (sandbox.folder / "keys").rename(sandbox.folder / "newer")
    (sandbox.folder / "lost").rename(sandbox.folder / "keys")
    said = sandbox.refusal("merchant", "rotate-certificate", "Corner Shop", "--out", str(sandbox.folder / "old"))
    assert "authority adopt" in said


def test_before_the_first_start_there_is_nothing_to_show(sandbox):
    assert sandbox.json("authority", "show") == {"deployment": None, "here": None, "agree": True}
