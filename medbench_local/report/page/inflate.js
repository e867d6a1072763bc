// Unpacks gzip: with what the browser has, or in plain JavaScript where it has nothing (RFC 1951 and 1952).

/**
 * @param {Uint8Array<ArrayBuffer>} packed
 * @returns {Promise<Uint8Array>}
 */
async function unpacked(packed) {
  if (typeof DecompressionStream === "undefined") return inflated(packed.subarray(10)); // the header has no options
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * The canonical code that lengths of code words describe: how many words have each length, and their symbols in order.
 * @param {ArrayLike<number>} lengths
 */
function code(lengths) {
  const counts = new Uint16Array(16);
  for (let i = 0; i < lengths.length; i++) counts[lengths[i]]++;
  counts[0] = 0;
  const starts = new Uint16Array(16);
  for (let i = 1; i < 16; i++) starts[i] = starts[i - 1] + counts[i - 1];
  const symbols = new Uint16Array(lengths.length);
  for (let i = 0; i < lengths.length; i++) if (lengths[i]) symbols[starts[lengths[i]]++] = i;
  return { counts, symbols };
}

/**
 * @param {Uint8Array} source a deflate stream, whatever follows it
 * @returns {Uint8Array}
 */
function inflated(source) {
  const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
  const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  let out = new Uint8Array(source.length * 6 + 1024);
  let size = 0;
  let at = 0; // in bits
  const bit = () => (source[at >> 3] >> (at++ & 7)) & 1;
  const bits = (count) => {
    let value = 0;
    for (let i = 0; i < count; i++) value |= bit() << i;
    return value;
  };
  const symbol = ({ counts, symbols }) => {
    let word = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      word |= bit();
      if (word - counts[length] < first) return symbols[index + word - first];
      index += counts[length];
      first = (first + counts[length]) << 1;
      word <<= 1;
    }
    throw new Error("the questions in this file are damaged");
  };
  const put = (byte) => {
    if (size === out.length) {
      const larger = new Uint8Array(size * 2);
      larger.set(out);
      out = larger;
    }
    out[size++] = byte;
  };
  const described = () => {
    const literals = bits(5) + 257, distances = bits(5) + 1, words = bits(4) + 4;
    const short = new Uint8Array(19);
    for (let i = 0; i < words; i++) short[ORDER[i]] = bits(3);
    const shortCode = code(short);
    const lengths = [];
    while (lengths.length < literals + distances) {
      const found = symbol(shortCode);
      if (found < 16) lengths.push(found);
      else {
        const again = found === 16 ? lengths[lengths.length - 1] : 0;
        const times = found === 16 ? 3 + bits(2) : found === 17 ? 3 + bits(3) : 11 + bits(7);
        for (let i = 0; i < times; i++) lengths.push(again);
      }
    }
    return [code(lengths.slice(0, literals)), code(lengths.slice(literals))];
  };
  const fixed = () => {
    const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
    return [code(lengths), code(new Array(30).fill(5))];
  };
  for (let last = 0; !last; ) {
    last = bit();
    const kind = bits(2);
    if (kind === 0) {
      at = (at + 7) & ~7;
      const count = bits(16);
      at += 16; // the same, inverted
      for (let i = 0; i < count; i++, at += 8) put(source[at >> 3]);
      continue;
    }
    const [literals, distances] = kind === 1 ? fixed() : described();
    for (let found = symbol(literals); found !== 256; found = symbol(literals)) {
      if (found < 256) {
        put(found);
        continue;
      }
      const length = LENGTHS[found - 257] + bits(LENGTH_BITS[found - 257]);
      const far = symbol(distances);
      const more = far < 2 ? 0 : (far >> 1) - 1;
      const distance = (far < 2 ? far : (2 + (far & 1)) << more) + bits(more) + 1;
      for (let i = 0; i < length; i++) put(out[size - distance]);
    }
  }
  return out.subarray(0, size);
}
