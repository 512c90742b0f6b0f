# SPDX-License-Identifier: MIT
"""Counts of a device's instructions: which way round a loop is counted, and that a loss is seen."""

from __future__ import annotations

import pytest
import track
from tracking import device
from tracking.results import TrackingError

needs_tools = pytest.mark.skipif(
    device.missing() is not None, reason=f"{device.missing()} is not installed"
)

LOOP = """
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_1:
        /*0010*/                   IADD3 R1, R1, 0x1, RZ ;
        /*0020*/              @!P0 BRA P1, `(.L_x_2) ;
        /*0030*/              @!P2 STG.E desc[UR4][R2.64], R4 ;
        /*0040*/               @P3 STG.E desc[UR4][R2.64+0x4], R5 ;
        /*0050*/                   BRA `(.L_x_3) ;
.L_x_2:
        /*0060*/                   STG.E.128 desc[UR4][R2.64], R4 ;
.L_x_3:
        /*0070*/                   ISETP.GE.U32.AND P0, PT, R1, UR5, PT ;
        /*0080*/              @!P0 BRA `(.L_x_1) ;
        /*0090*/                   EXIT ;
.L_x_4:
        /*00a0*/                   BRA `(.L_x_4);
"""


def test_the_way_that_stores_whole_blocks_is_counted():
    assert device.loop_length(LOOP) == 5


def test_the_innermost_loop_is_counted():
    outer = "\n.L_x_0:" + LOOP.replace("EXIT", "@P1 BRA `(.L_x_0)")
    assert device.loop_length(outer) == 5


@pytest.mark.parametrize("removed", ["STG", "BRA `(.L_x_1)"])
def test_a_text_without_such_a_loop_is_an_error(removed):
    with pytest.raises(TrackingError, match="there is no loop that stores"):
        device.loop_length(LOOP.replace(removed, "NOP"))


def test_without_tools_there_is_no_version(monkeypatch):
    monkeypatch.setattr(device, "disassembler", lambda: None)
    monkeypatch.setattr(device, "nvrtc", lambda: None)
    assert device.missing() == "nvdisasm"
    assert device.version() is None


def test_what_the_disassembler_says_is_the_error(monkeypatch):
    monkeypatch.setattr(device, "disassembler", lambda: "false")
    with pytest.raises(TrackingError, match=r"false --print-code .*: exit status 1"):
        device.disassembled(b"")


@needs_tools
@pytest.mark.frameworks
def test_a_kernel_with_more_instructions_fails_the_gate(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(track.runs, "timed", lambda options: [])
    run = str(tmp_path / "run.json")
    rows = ["--row", "instructions sm_90: normal float32"]
    assert track.main(["run", *rows, "--json", run]) == 0
    compare = ["compare", *rows, "--against", run, "--repeats", "1"]
    assert track.main(compare) == 0
    assert "1 rows judged, 0 lost" in capsys.readouterr().out
    assert track.main([*compare, "--twice", "sm_90"]) == track.LOST
    assert "LOST more than 1 %" in capsys.readouterr().out
