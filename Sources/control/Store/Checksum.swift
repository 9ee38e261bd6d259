// What finds a lost bit: CRC-64 (ECMA-182, reflected) from ISA-L, some 10 GB/s, so that it costs a store nothing
// worth measuring. Not a defence against anybody, only against disks and memory.

internal import CInflate

enum Checksum {
    /// Of a row of `objects`, which it is stored in.
    static func of(_ key: StoreKey, _ entry: StoreState.Entry) -> Int64 {
        var sum: UInt64 = 0
        for number in [entry.id, entry.revision, UInt64(entry.durability.rawValue)] {
            withUnsafeBytes(of: number.littleEndian) { sum = extend(sum, $0) }
        }
        for text in [key.resource, key.namespace, key.name] {
            var text = text
            // The zero keeps "a" + "bc" and "ab" + "c" apart.
            text.withUTF8 { sum = extend(sum, UnsafeRawBufferPointer($0)) }
            withUnsafeBytes(of: UInt8(0)) { sum = extend(sum, $0) }
        }
        entry.value.prefix.withUnsafeBytes { sum = extend(sum, $0) }
        entry.value.suffix.withUnsafeBytes { sum = extend(sum, $0) }
        return Int64(bitPattern: sum)
    }

    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 { extend(0, bytes) }

    private static func extend(_ sum: UInt64, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return sum }
        return crc64_ecma_refl(sum, start.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }
}
