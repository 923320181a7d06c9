/** Where colors came from, for a picture's metadata: colorcapsnet/provenance.py. */

const RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
const NOTE = "The colors were added by a neural network. They are plausible, not true; lightness is the photograph's own.";

/** An XMP packet that says so; `told` has names that XML allows. */
export function provenance(told) {
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const lines = Object.entries({ ...told, note: NOTE }).map(
    ([name, value]) => `<colorcapsnet:${name}>${escaped(value)}</colorcapsnet:${name}>`,
  );
  return [
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    `<x:xmpmeta xmlns:x="adobe:ns:meta/">\n<rdf:RDF xmlns:rdf="${RDF}">`,
    '<rdf:Description rdf:about="" xmlns:colorcapsnet="urn:colorcapsnet:provenance:1" ' +
      'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">',
    `<Iptc4xmpExt:DigitalSourceType>${SOURCE}</Iptc4xmpExt:DigitalSourceType>`,
    ...lines,
    '</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>',
  ].join("\n");
}
