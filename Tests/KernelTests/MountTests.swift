// Mounts and rooted paths, each test in a mount namespace or folder of its own.

import Glibc
import Kernel
import System
import TestSupport
import Testing

@Suite struct MountTests {
    @Test func mountsByDescriptorInANamespaceOfItsOwn() throws {
        let folder = try ScratchFolder()
        let path = folder.path
        try MountNamespace.runBlockingInNew {
            for name in ["lower", "lower2:with colon", "tmp", "merged", "bound"] {
                try Files.makeDirectory("\(path)/\(name)")
            }
            try Files.writeAtomically("\(path)/lower/a", "lower")
            try Files.writeAtomically("\(path)/lower2:with colon/b", "second")
            try Mounts.attach(
                try Mounts.create("tmpfs", [("size", "1m"), ("mode", "750")], attributes: .noExecute), to: "\(path)/tmp"
            )
            try Files.makeDirectory("\(path)/tmp/upper")
            try Files.makeDirectory("\(path)/tmp/work")
            let overlay = try Mounts.createOverlay(
                layers: ["\(path)/lower2:with colon", "\(path)/lower"], upper: "\(path)/tmp/upper",
                work: "\(path)/tmp/work")
            try Mounts.attach(overlay, to: "\(path)/merged")
            #expect(try Files.list("\(path)/merged") == ["a", "b"])
            try Files.writeAtomically("\(path)/merged/a", "upper")
            #expect(try Files.readText("\(path)/lower/a") == "lower")
            #expect(try Files.readText("\(path)/tmp/upper/a") == "upper")

            let bind = try Mounts.clone("\(path)/lower")
            try Mounts.setAttributes(bind.raw, set: [.readOnly, .noDevices, .noSetUID])
            try Mounts.attach(bind, to: try FileDescriptor.open("\(path)/bound", [.path]))
            let error = #expect(throws: SystemError.self) { try Files.writeAtomically("\(path)/bound/x", "") }
            #expect(error?.errno == .EROFS)

            let table = try MountTable.read().filter { $0.point.hasPrefix(path) }
            #expect(table.map(\.fileSystem).prefix(2) == ["tmpfs", "overlay"])
            #expect(table.map(\.point) == ["tmp", "merged", "bound"].map { "\(path)/\($0)" })
            #expect(table.allSatisfy { $0.propagation.isEmpty })
            #expect(table[0].options.contains("noexec") && table[2].options.contains("ro"))

            // A tree with a mount in it is not removed through.
            let busy = #expect(throws: SystemError.self) { try Files.removeTree(path) }
            #expect(busy?.errno == .EBUSY)
            #expect(try Files.readText("\(path)/bound/a") == "lower")
            try Mounts.unmountAll(below: path)
            try Mounts.unmountAll(below: path)
            #expect(try Mounts.unmount("\(path)/bound") == false)
            #expect(try !MountTable.read().contains { $0.point.hasPrefix(path) })
        }
        #expect(try !MountTable.read().contains { $0.point.hasPrefix(path) })
    }

    @Test func givesTheFileSystemsOwnWords() throws {
        let error = #expect(throws: MountError.self) { _ = try Mounts.create("tmpfs", [("size", "lots")]) }
        #expect(error?.failure.errno == .EINVAL)
        #expect(error?.explanation.contains { $0.contains("size") } == true, "\(String(describing: error))")
        #expect(throws: SystemError("fsopen", "nosuchfs", .ENODEV)) {
            do { _ = try Mounts.create("nosuchfs") } catch let error as SystemError { throw error }
        }
    }

    @Test func readsMountinfo() throws {
        let line =
            #"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue"#
        let mount = try #require(MountTable.parse(Array(line.utf8))?.first)
        #expect(mount.point == "/mnt 2" && mount.propagation == ["master:1", "propagate_from:2"])
        #expect(mount.fileSystem == "ext3" && mount.superOptions == ["rw", "errors=continue"] && mount.major == 98)
        #expect(MountTable.parse(Array("36 35 98:0 / /mnt rw".utf8)) == nil)
        #expect(try MountTable.read().contains { $0.point == "/" })
    }

    @Test func sealsFiles() throws {
        let file = try FileDescriptor.sealed(name: "test", Array("#!".utf8))
        try file.seek(to: 0)
        #expect(try file.readAll() == Array("#!".utf8))
        #expect(throws: SystemError.self) { try file.write(all: [1]) }
        #expect(throws: SystemError.self) { try file.truncate(to: 0) }
    }
}

/// An image's tree is hostile: whatever its links say, nothing outside it is read, made or removed.
@Suite struct RootedDirectoryTests {
    @Test func linksLeadNowhereOutside() throws {
        let folder = try ScratchFolder()
        let root = "\(folder.path)/root"
        try Files.makeDirectory("\(root)/etc")
        try Files.writeAtomically("\(folder.path)/secret", "outside")
        try Files.writeAtomically("\(root)/etc/passwd", "inside")
        let rooted = try RootedDirectory(root)
        try rooted.makeSymlink("absolute", to: "/etc")
        try rooted.makeSymlink("climbing", to: "../../../../../../etc/passwd")
        try rooted.makeSymlink("magic", to: "/proc/self/root/etc/passwd")
        try rooted.makeSymlink("out", to: "../secret")
        #expect(try rooted.read("/absolute/passwd") == Array("inside".utf8))
        #expect(try rooted.read("climbing") == Array("inside".utf8))
        #expect(try rooted.read("../../etc/passwd") == Array("inside".utf8))
        #expect(throws: SystemError.self) { try rooted.read("out") }
        #expect(throws: SystemError.self) { try rooted.read("magic") }
        #expect(try rooted.symlinkTarget("absolute") == "/etc")

        // Making and removing act on the name, not on where a link there leads.
        try rooted.makeSymlink("dangling", to: "/not/yet")
        #expect(throws: SystemError.self) { _ = try rooted.createFile("out") }
        #expect(throws: SystemError.self) { try rooted.makeDirectories("dangling/x") }
        try rooted.makeDirectories("absolute/new/deep")
        #expect(Files.isDirectory("\(root)/etc/new/deep"))
        try rooted.remove("absolute")
        try rooted.removeTree("etc/new")
        #expect(try Files.list("\(root)/etc") == ["passwd"])
        #expect(try Files.list(folder.path) == ["root", "secret"])
        #expect(throws: SystemError.self) { try rooted.remove("..") }
        #expect(throws: SystemError.self) { try rooted.makeDirectories("missing/../x") }
    }

    @Test func makesEverythingAnImageHolds() throws {
        let folder = try ScratchFolder()
        let rooted = try RootedDirectory(folder.path)
        try rooted.makeDirectories("a/b", mode: 0o711)
        do {
            let file = try rooted.createFile("a/b/file", mode: 0o600)
            try file.write(all: Array("text".utf8))
        }
        try rooted.setMode("a/b/file", 0o4755)
        try rooted.setOwner("a/b/file", uid: 1000, gid: 1001)
        try rooted.setMode("a/b/file", 0o4755)
        try rooted.setModified("a/b/file", Timestamp(seconds: 1_000_000_000))
        try rooted.makeHardLink("a/hard", to: "a/b/file")
        try rooted.makeNode("whiteout", mode: 0o020000, major: 0, minor: 0)
        try rooted.makeNode("fifo", mode: 0o010644, major: 0, minor: 0)
        let file = try rooted.attributes("a/hard")
        #expect(file.kind == .file && file.mode == 0o4755 && file.uid == 1000 && file.gid == 1001 && file.size == 4)
        #expect(try Files.attributes("\(folder.path)/a/hard").modified.seconds == 1_000_000_000)
        #expect(try rooted.attributes("whiteout").kind == .characterDevice)
        // A fifo neither hangs nor reads.
        #expect(throws: SystemError.self) { try rooted.read("fifo") }
        #expect(try rooted.list() == ["a", "fifo", "whiteout"])
        try rooted.rename("a/hard", to: "moved")
        #expect(rooted.exists("moved") && !rooted.exists("a/hard"))
        try rooted.removeTree("a")
        try rooted.removeTree("a")
        #expect(try rooted.list("/") == ["fifo", "moved", "whiteout"])
        #expect(try rooted.subdirectory(".").exists("moved"))
    }
}
