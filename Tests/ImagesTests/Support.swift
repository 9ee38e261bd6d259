// What the tests write archives with: tar by hand, since the attacks are what no tar program writes, gzip through
// ISA-L, and image layouts with every document open to change.

import CInflate
import Images
import Kernel
import PKI
import System
import TestSupport
import Testing

struct Tar {
    var bytes: [UInt8] = []

    /// Ends with the two zero blocks.
    var closed: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    struct Options {
        var mode: UInt32 = 0o644
        var uid: UInt64 = 0
        var gid: UInt64 = 0
        var mtime: UInt64 = 1_700_000_000
        var major: UInt32 = 0
        var minor: UInt32 = 0
        /// What the header says; the content's length without.
        var size: Int?
        var pax: [(String, String)] = []
        var isGNU = false
    }

    mutating func add(
        _ type: Character, _ name: String, _ content: [UInt8] = [], target: String = "",
        with options: Options = Options()
    ) {
        if !options.pax.isEmpty {
            let records = options.pax.flatMap { Self.record($0.0, Array($0.1.utf8)) }
            add("x", "PaxHeaders/x", records)
        }
        if options.isGNU {
            if name.utf8.count > 100 { add("L", "././@LongLink", Array(name.utf8) + [0]) }
            if target.utf8.count > 100 { add("K", "././@LongLink", Array(target.utf8) + [0]) }
        }
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ offset: Int, _ text: some Sequence<UInt8>, _ count: Int) {
            for (index, byte) in text.prefix(count).enumerated() { block[offset + index] = byte }
        }
        func octal(_ offset: Int, _ value: UInt64, _ count: Int) {
            let digits = String(value, radix: 8)
            if digits.count < count {
                put(offset, (String(repeating: "0", count: count - 1 - digits.count) + digits).utf8, count)
            } else {
                block[offset] = 0x80
                for index in 0..<min(8, count - 1) {
                    block[offset + count - 1 - index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
                }
            }
        }
        put(0, name.utf8, 100)
        octal(100, UInt64(options.mode), 8)
        octal(108, options.uid, 8)
        octal(116, options.gid, 8)
        octal(124, UInt64(options.size ?? content.count), 12)
        octal(136, options.mtime, 12)
        block[156] = type.asciiValue!
        put(157, target.utf8, 100)
        put(257, options.isGNU ? Array("ustar  \0".utf8) : Array("ustar\u{0}00".utf8), 8)
        octal(329, UInt64(options.major), 8)
        octal(337, UInt64(options.minor), 8)
        put(148, String(repeating: " ", count: 8).utf8, 8)
        octal(148, block.reduce(0) { $0 + UInt64($1) }, 7)
        bytes += block + content + [UInt8](repeating: 0, count: -content.count & 511)
    }

    static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let body = [UInt8](" \(key)=".utf8) + value + [UInt8(ascii: "\n")]
        var length = body.count + 1
        while String(length).utf8.count + body.count != length { length = String(length).utf8.count + body.count }
        return Array(String(length).utf8) + body
    }

    mutating func file(_ name: String, _ content: String, _ options: Options = Options()) {
        add("0", name, Array(content.utf8), with: options)
    }
    mutating func directory(_ name: String, mode: UInt32 = 0o755) {
        add("5", name, with: Options(mode: mode))
    }
    mutating func symlink(_ name: String, _ target: String) { add("2", name, target: target) }
    mutating func hardLink(_ name: String, _ target: String) { add("1", name, target: target) }

    static func layer(_ build: (inout Tar) -> Void) -> [UInt8] {
        var tar = Tar()
        build(&tar)
        return tar.closed
    }
}

func gzip(_ bytes: [UInt8]) -> [UInt8] {
    let stream = UnsafeMutableRawPointer.allocate(
        byteCount: MemoryLayout<isal_zstream>.size, alignment: MemoryLayout<isal_zstream>.alignment
    ).bindMemory(to: isal_zstream.self, capacity: 1)
    defer { UnsafeMutableRawPointer(stream).deallocate() }
    isal_deflate_stateless_init(stream)
    var input = bytes
    let capacity = bytes.count + bytes.count / 100 + 4096
    return input.withUnsafeMutableBufferPointer { input in
        [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
            stream.pointee.gzip_flag = UInt16(IGZIP_GZIP)
            stream.pointee.end_of_stream = 1
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = UInt32(input.count)
            stream.pointee.next_out = output.baseAddress
            stream.pointee.avail_out = UInt32(capacity)
            precondition(isal_deflate_stateless(stream) == COMP_OK)
            count = Int(stream.pointee.total_out)
        }
    }
}

func sha256(_ bytes: [UInt8]) -> String { "sha256:\(SHA256Hash.hex(of: bytes))" }

/// An image layout; every part may be replaced before it is written.
struct Layout {
    static let manifestType = "application/vnd.oci.image.manifest.v1+json"
    static let indexType = "application/vnd.oci.image.index.v1+json"
    var blobs: [String: [UInt8]] = [:]
    var manifests: [String] = []

    /// - Returns: digest and size.
    @discardableResult
    mutating func blob(_ bytes: [UInt8]) -> (digest: String, size: Int) {
        let digest = sha256(bytes)
        blobs[digest] = bytes
        return (digest, bytes.count)
    }

    static func descriptor(
        _ type: String, _ content: (digest: String, size: Int), name: String? = nil, platform: String? = nil,
        annotation: String = "io.containerd.image.name"
    ) -> String {
        var text = #"{"mediaType":"\#(type)","digest":"\#(content.digest)","size":\#(content.size)"#
        if let platform { text += #","platform":{"os":"linux","architecture":"\#(platform)"}"# }
        if let name { text += #","annotations":{"\#(annotation)":"\#(name)"}"# }
        return text + "}"
    }

    static let config =
        #""config":{"Env":["PATH=/bin"],"Cmd":["/bin/web"],"Entrypoint":["/init"],"User":"1000:1000","WorkingDir":"/srv","StopSignal":"SIGINT","Labels":{"a":"b"},"ExposedPorts":{"8080/tcp":{}},"Volumes":{"/data":{}}}"#

    /// Adds an image of these layers (as stored, as unpacked); returns its manifest's descriptor without name.
    mutating func image(
        _ layers: [(stored: [UInt8], plain: [UInt8])], architecture: String = "amd64", extra: String = ""
    ) -> (digest: String, size: Int) {
        let ids = layers.map { "\"\(sha256($0.plain))\"" }.joined(separator: ",")
        let config = blob(
            Array(
                #"{"architecture":"\#(architecture)","os":"linux",\#(Self.config),"rootfs":{"type":"layers","diff_ids":[\#(ids)]}}"#
                    .utf8))
        let descriptors = layers.map { layer in
            Self.descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob(layer.stored))
        }.joined(separator: ",")
        return blob(
            Array(
                #"{"schemaVersion":2,"mediaType":"\#(Self.manifestType)","config":\#(Self.descriptor("application/vnd.oci.image.config.v1+json", config)),"layers":[\#(descriptors)]\#(extra)}"#
                    .utf8))
    }

    /// The archive.
    func bytes(index: String? = nil) -> [UInt8] {
        var tar = Tar()
        tar.file("oci-layout", #"{"imageLayoutVersion":"1.0.0"}"#)
        tar.file("index.json", index ?? #"{"schemaVersion":2,"manifests":[\#(manifests.joined(separator: ","))]}"#)
        for (digest, bytes) in blobs.sorted(by: { $0.key < $1.key }) {
            tar.add("0", "blobs/sha256/\(digest.dropFirst(7))", bytes)
        }
        return tar.closed
    }

    /// One image under a name.
    static func simple(_ layers: [[UInt8]], compressed: Bool = true, name: String? = "web:v1") -> Layout {
        var layout = Layout()
        let image = layout.image(layers.map { (compressed ? gzip($0) : $0, $0) })
        layout.manifests = [descriptor(manifestType, image, name: name)]
        return layout
    }
}

let amd64 = Platform(architecture: "amd64")

/// A store in a scratch folder.
struct TestStore: ~Copyable {
    let folder: ScratchFolder
    let store: ImageStore
    var root: String { folder.path + "/images" }

    init(_ limits: ImageLimits = ImageLimits()) throws {
        let folder = try ScratchFolder()
        store = try ImageStore(root: folder.path + "/images", platform: amd64, limits: limits)
        self.folder = folder
    }

    func write(_ bytes: [UInt8]) throws -> String {
        let path = "\(folder.path)/archive-\(Random.nameSuffix()).tar"
        try Files.writeAtomically(path, bytes)
        return path
    }

    @discardableResult
    func load(_ bytes: [UInt8], name: String? = nil) async throws -> [Image] {
        try await store.importArchive(write(bytes), name: name)
    }

    /// Imports one layer; returns its root.
    func layer(_ build: (inout Tar) -> Void) async throws -> RootedDirectory {
        let image = try await load(Layout.simple([Tar.layer(build)]).bytes())[0]
        return try RootedDirectory(image.rootLayers[0])
    }

    /// The fault of an archive that must be refused and leave nothing.
    func refusal(_ bytes: [UInt8], name: String? = nil) async throws -> ArchiveFault? {
        let before = try content()
        do {
            try await load(bytes, name: name)
            Issue.record("the archive was accepted")
            return nil
        } catch ImageError.refused(_, let fault) {
            #expect(try content() == before, "a refused archive left something")
            return fault.cause
        }
    }

    /// Everything below the store but its lock.
    func content() throws -> [String] {
        var found: [String] = []
        for name in ["", "/staging", "/blobs/sha256", "/layers/sha256"] {
            found += try Files.list(root + name).map { "\(name)/\($0)" }
        }
        return found.filter { $0 != "/lock" }
    }
}
