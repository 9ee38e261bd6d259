// Whiteouts, seen as a container sees them: through a real overlay mount, in a mount namespace of the test's own.

import CKernel
import Images
import Kernel
import System
import TestSupport
import Testing

/// An extended attribute; nil when there is none.
func attribute(_ path: String, _ name: String) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = kernel_lgetxattr(path, name, &buffer, buffer.count)
    return count < 0 ? nil : Array(buffer[..<count])
}

@Suite struct WhiteoutTests {
    /// Paths below the merged root, without the layers' own folders.
    private func merged(_ image: Image, in folder: String) throws -> [String] {
        let layers = image.rootLayers
        return try MountNamespace.runBlockingInNew {
            let mounted = "\(folder)/merged"
            for name in ["merged", "upper", "work"] { try Files.makeDirectory("\(folder)/\(name)") }
            let overlay = try Mounts.createOverlay(layers: layers, upper: "\(folder)/upper", work: "\(folder)/work")
            try Mounts.attach(overlay, to: mounted)
            defer { _ = try? Mounts.unmount(mounted) }
            func walk(_ path: String) throws -> [String] {
                try Files.list(path.isEmpty ? mounted : "\(mounted)/\(path)").flatMap { name in
                    let path = path.isEmpty ? name : "\(path)/\(name)"
                    let isFolder =
                        Files.symlinkTarget("\(mounted)/\(path)") == nil
                        && Files.isDirectory("\(mounted)/\(path)")
                    return try isFolder ? ["\(path)/"] + walk(path) : [path]
                }
            }
            return try walk("")
        }
    }

    @Test func hideWhatLowerLayersBrought() async throws {
        let test = try TestStore()
        let lower = Tar.layer { tar in
            for name in ["gone", "kept", "same", "dir/a", "dir/b", "opaque/old", "swap/old", "tree/deep/er", "etc/x"] {
                tar.file(name, "lower")
            }
            tar.symlink("link", "dir")
        }
        let upper = Tar.layer { tar in
            tar.file(".wh.gone", "")
            tar.file("dir/.wh.a", "")
            tar.file("opaque/new", "")
            tar.file("opaque/.wh..wh..opq", "")
            // The whiteout and the new content in one layer, in either order.
            tar.file("same", "upper")
            tar.file(".wh.same", "")
            tar.file(".wh.swap", "")
            tar.directory("swap")
            tar.file("swap/new", "")
            tar.file("tree/new", "")
            tar.file(".wh.tree", "")
            tar.file(".wh.link", "")
            tar.file(".wh.never-was", "")
            tar.file("etc/.wh..wh.plnk", "")
        }
        let image = try await test.load(Layout.simple([lower, upper]).bytes())[0]
        #expect(
            try merged(image, in: test.folder.path) == [
                "dir/", "dir/b", "etc/", "etc/x", "kept", "opaque/", "opaque/new", "same", "swap/", "swap/new", "tree/",
                "tree/new",
            ])
    }

    @Test func anOpaqueRootHidesAllBelow() async throws {
        let test = try TestStore()
        let layers = [
            Tar.layer { $0.file("a", "") }, Tar.layer { $0.file("b", "") },
            Tar.layer { tar in
                tar.file(".wh..wh..opq", "")
                tar.file("c", "")
            }, Tar.layer { $0.file("d", "") },
        ]
        let image = try await test.load(Layout.simple(layers).bytes())[0]
        #expect(image.rootLayers.count == 2)
        #expect(try merged(image, in: test.folder.path) == ["c", "d"])
    }

    @Test(arguments: [".wh.", ".wh...", "a/.wh.."]) func ofNothingAreRefused(name: String) async throws {
        let test = try TestStore()
        guard case .unsafe = try await test.refusal(Layout.simple([Tar.layer { $0.file(name, "") }]).bytes()) else {
            Issue.record("accepted")
            return
        }
    }

    @Test func doNotLeadOut() async throws {
        let test = try TestStore()
        let outside = try ScratchFolder()
        try Files.writeAtomically("\(outside.path)/victim", "safe")
        let fault = try await test.refusal(
            Layout.simple([
                Tar.layer { tar in
                    tar.directory(String(outside.path.dropFirst()))
                    tar.symlink("way", outside.path)
                    tar.file("way/.wh.victim", "")
                    tar.file("way/.wh..wh..opq", "")
                }
            ]).bytes())
        #expect(fault == .unsafe(entry: "way/.wh..wh..opq", why: "its folder is a link"))
        #expect(try Files.readText("\(outside.path)/victim") == "safe")
        #expect(attribute(outside.path, "trusted.overlay.opaque") == nil)
    }
}
