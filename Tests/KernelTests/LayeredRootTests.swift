// A tree of layers must look to noded as it looks to a container: each case is compared with a real overlay mount.

import Kernel
import System
import TestSupport
import Testing

@Suite struct LayeredRootTests {
    /// Layers, top first, each made by its closure; what the overlay of them and LayeredRoot say about `etc/passwd`.
    private func look(_ layers: [Layer]) throws -> (overlay: String, ours: String) {
        let folder = try ScratchFolder()
        let path = folder.path
        let paths = layers.indices.map { "\(path)/\($0)" }
        for (path, make) in zip(paths, layers) {
            try Files.makeDirectory(path)
            try make(RootedDirectory(path))
        }
        let overlay = try MountNamespace.runBlockingInNew {
            try Files.makeDirectory("\(path)/merged")
            // An overlay needs two layers, or one to write to.
            for name in ["upper", "work"] { try Files.makeDirectory("\(path)/\(name)") }
            let mount = try Mounts.createOverlay(layers: paths, upper: "\(path)/upper", work: "\(path)/work")
            try Mounts.attach(mount, to: "\(path)/merged")
            defer { _ = try? Mounts.unmount("\(path)/merged") }
            let merged = try RootedDirectory("\(path)/merged")
            return Self.word { () throws(SystemError) in try merged.read("etc/passwd") }
        }
        return (overlay, Self.word { () throws(SystemError) in try LayeredRoot(paths).read("etc/passwd") })
    }

    private static func word(_ read: () throws(SystemError) -> [UInt8]?) -> String {
        do throws(SystemError) {
            return try read().map { String(decoding: $0, as: UTF8.self) } ?? "nothing"
        } catch {
            let words: [Errno: String] = [.ENOENT: "nothing", .ENOTDIR: "ENOTDIR", .EINVAL: "EINVAL", .ELOOP: "ELOOP"]
            return words[error.errno] ?? "\(error)"
        }
    }

    private typealias Layer = @Sendable (RootedDirectory) throws -> Void

    private static func file(_ path: String, _ text: String) -> Layer {
        { root in
            if let slash = path.lastIndex(of: "/") { try root.makeDirectories(String(path[..<slash])) }
            let file = try root.createFile(path)
            try file.write(all: Array(text.utf8))
        }
    }

    private static func link(_ path: String, _ target: String) -> Layer {
        { root in
            if let slash = path.lastIndex(of: "/") { try root.makeDirectories(String(path[..<slash])) }
            try root.makeSymlink(path, to: target)
        }
    }

    private static func whiteout(_ path: String) -> Layer {
        { root in
            if let slash = path.lastIndex(of: "/") { try root.makeDirectories(String(path[..<slash])) }
            try root.makeNode(path, mode: 0o020000, major: 0, minor: 0)
        }
    }

    private static func opaque(_ path: String) -> Layer {
        { root in
            try root.makeDirectories(path)
            try root.setExtendedAttribute(path, "trusted.overlay.opaque", [UInt8(ascii: "y")])
        }
    }

    private static func all(_ layers: Layer...) -> Layer { { root in for layer in layers { try layer(root) } } }

    private static let lower = file("etc/passwd", "lower")

    private static let cases: [(name: String, layers: [Layer], expected: String)] = [
        ("one layer", [lower], "lower"),
        ("the upper file wins", [file("etc/passwd", "upper"), lower], "upper"),
        ("a folder above merges", [file("etc/other", ""), lower], "lower"),
        ("a whiteout hides the file", [whiteout("etc/passwd"), lower], "nothing"),
        ("a whiteout hides the folder", [whiteout("etc"), lower], "nothing"),
        ("a whiteout in between", [file("etc/other", ""), whiteout("etc"), lower], "nothing"),
        ("an opaque folder", [opaque("etc"), lower], "nothing"),
        ("an opaque folder with the file", [all(opaque("etc"), file("etc/passwd", "upper")), lower], "upper"),
        ("below an opaque folder", [file("etc/other", ""), opaque("etc"), lower], "nothing"),
        ("a file where the folder was", [file("etc", ""), lower], "ENOTDIR"),
        ("a folder where the file was", [{ _ = try $0.makeDirectories("etc/passwd") }, lower], "EINVAL"),
        ("a folder over a file", [file("etc/other", ""), file("etc", "x"), lower], "nothing"),
        ("a fifo", [all(file("etc/x", ""), { try $0.makeNode("etc/passwd", mode: 0o010644, major: 0, minor: 0) }), lower],
            "EINVAL"),
        ("a link into a lower layer", [link("etc/passwd", "/store/passwd"), file("store/passwd", "stored"), lower], "stored"),
        ("a link to nothing", [link("etc/passwd", "/store/passwd"), lower], "nothing"),
        ("a link to what an upper layer hides",
            [all(link("etc/passwd", "../store/passwd"), whiteout("store/passwd")), file("store/passwd", "stored"), lower],
            "nothing"),
        ("a linked folder", [link("etc", "real"), file("real/passwd", "real"), lower], "real"),
        ("a link that climbs", [link("etc/passwd", "../../../../up/./passwd"), file("up/passwd", "up"), lower], "up"),
        ("a circle", [link("etc/passwd", "passwd"), lower], "ELOOP"),
        ("no such name", [file("bin/sh", "")], "nothing"),
    ]

    @Test(arguments: cases.indices) func looksAsAnOverlayDoes(index: Int) throws {
        let (name, layers, expected) = Self.cases[index]
        let (overlay, ours) = try look(layers)
        #expect(overlay == expected, "\(name), in the overlay")
        #expect(ours == expected, "\(name)")
    }

    @Test func aLayerThatIsNotThereIsAnError() throws {
        let error = #expect(throws: SystemError.self) { try LayeredRoot(["/nonexistent/layer"]) }
        #expect(error?.errno == .ENOENT)
    }

    @Test func aFileThatIsTooLongIsAnError() throws {
        let folder = try ScratchFolder()
        try Files.makeDirectory("\(folder.path)/etc")
        try Files.writeAtomically("\(folder.path)/etc/passwd", "12345678")
        let error = #expect(throws: SystemError.self) { try LayeredRoot([folder.path]).read("/etc/passwd", limit: 4) }
        #expect(error?.errno == .EFBIG)
    }
}
