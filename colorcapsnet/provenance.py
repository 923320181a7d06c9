"""Where colors came from, written into the picture: an XMP block that says they are a network's, and which and how.

``DigitalSourceType`` is IPTC's (and C2PA's) word for a photograph that a trained network added to. Nothing of the XMP
that was there before is lost, and the same picture and decisions give the same bytes: no times are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.sax.saxutils import escape

from colorcapsnet.pictures import Picture

NAMESPACE = "urn:colorcapsnet:provenance:1"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
NOTE = "The colors were added by a neural network. They are plausible, not true; lightness is the photograph's own."

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n<rdf:RDF xmlns:rdf="{_RDF}">\n</rdf:RDF>\n</x:xmpmeta>\n'
    '<?xpacket end="w"?>'
)
_END = "</rdf:RDF>"
_OURS = f'<rdf:Description rdf:about="" xmlns:colorcapsnet="{NAMESPACE}"'
_OURS_END = "</rdf:Description>\n"


def stamped(picture: Picture, told: Mapping[str, str]) -> Picture:
    """The picture with provenance in its XMP, in place of what an earlier call wrote there.

    Args:
        picture: any; XMP that is not in UTF-8, or does not call RDF ``rdf``, is left as it is, without provenance.
        told: what is to be said, by names that XML allows: tool, model, strength, and so on.
    """
    try:
        packet = (picture.metadata.xmp or b"").rstrip(b"\0").decode() or _EMPTY
    except UnicodeDecodeError:
        return picture
    before, found, after = _without_ours(packet).rpartition(_END)
    if not found:
        return picture
    xmp = f"{before}{_block(told)}{_END}{after}".encode()
    return replace(picture, metadata=replace(picture.metadata, xmp=xmp))


def _without_ours(packet: str) -> str:
    """In one pass, whatever the packet: by a regular expression, a hostile one takes hours."""
    kept, at = [], 0
    while (start := packet.find(_OURS, at)) >= 0 and (end := packet.find(_OURS_END, start)) >= 0:
        kept.append(packet[at:start])
        at = end + len(_OURS_END)
    return "".join([*kept, packet[at:]])


def _block(told: Mapping[str, str]) -> str:
    lines = [f"<colorcapsnet:{name}>{escape(value)}</colorcapsnet:{name}>" for name, value in told.items()]
    source = f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    body = "\n".join([source, *lines, f"<colorcapsnet:note>{NOTE}</colorcapsnet:note>"])
    return f'{_OURS} xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\n{body}\n</rdf:Description>\n'
