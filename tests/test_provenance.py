"""Provenance: it is there, says what was told, loses nothing, and never twice."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import pictures
from colorcapsnet.pictures import Metadata, Picture
from colorcapsnet.provenance import NAMESPACE, SOURCE_TYPE, stamped

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
EDITORS = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:format>image/tiff</dc:format></rdf:Description></rdf:RDF>'
    b'</x:xmpmeta><?xpacket end="w"?>'
)


def picture(xmp=None):
    return Picture(np.zeros((2, 3, 3), np.uint8), metadata=Metadata(xmp=xmp))


def said(stamped_picture):
    """Everything that descriptions say, as an XML parser reads it: tag without namespace -> text."""
    root = ET.fromstring(stamped_picture.metadata.xmp)
    return {part.tag.partition("}")[2]: part.text for each in root.iter(f"{RDF}Description") for part in each}


texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=60)


@given(st.dictionaries(st.sampled_from(["tool", "model", "strength", "hints"]), texts))
def test_what_was_told_is_what_a_parser_reads(told):
    found = said(stamped(picture(), told))
    assert {name: found[name] or "" for name in told} == told
    assert found["DigitalSourceType"] == SOURCE_TYPE
    assert "not true" in found["note"]


def test_what_was_there_stays():
    found = said(stamped(picture(EDITORS), {"model": "deep"}))
    assert (found["format"], found["model"]) == ("image/tiff", "deep")


def test_a_second_stamp_replaces_the_first():
    once = stamped(picture(EDITORS), {"model": "paper", "seed": "1"})
    twice = stamped(once, {"model": "deep"})
    assert twice.metadata.xmp.count(NAMESPACE.encode()) == 1
    assert twice.metadata.xmp == stamped(picture(EDITORS), {"model": "deep"}).metadata.xmp


@pytest.mark.parametrize("odd", [b"\xff\xfe<\0", b"<x:xmpmeta/>"])
def test_xmp_that_cannot_be_merged_is_left_alone(odd):
    assert stamped(picture(odd), {"model": "deep"}).metadata.xmp == odd


@pytest.mark.parametrize("kind", ["jpg", "png", "tiff", "webp"])
def test_it_survives_every_format(kind, tmp_path):
    marked = stamped(picture(EDITORS), {"model": "deep"})
    pictures.write(replace(marked, name="a"), tmp_path / f"a.{kind}")
    found = said(pictures.read(tmp_path / f"a.{kind}"))
    assert (found["format"], found["model"]) == ("image/tiff", "deep")


def test_a_hostile_packet_takes_one_pass():
    hostile = (f'<rdf:Description rdf:about="" xmlns:colorcapsnet="{NAMESPACE}"' * 200_000).encode()
    made = stamped(picture(hostile + b"</rdf:RDF>"), {"model": "deep"}).metadata.xmp
    assert made.startswith(hostile) and made.endswith(b"</rdf:RDF>") and b"<colorcapsnet:model>deep" in made
