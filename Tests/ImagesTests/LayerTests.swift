// Hostile and odd layers: each is refused with its reason and leaves nothing, or does no harm. One test a weakness of
// the field (docs: runtime-security.md, "unpack traversal", "UID overflow").

import Images
import Kernel
import System
import TestSupport
import Testing

@Suite struct LayerTests {
    private func reason(_ build: (inout Tar) -> Void) async throws -> String {
        let test = try TestStore()
        let fault = try await test.refusal(Layout.simple([Tar.layer(build)]).bytes())
        guard case .unsafe(_, let why) = fault else {
            Issue.record("\(String(describing: fault))")
            return ""
        }
        return why
    }

    // MARK: Out of the root

    @Test(arguments: ["../evil", "a/../../evil", "a/..", "/../evil"]) func refusesClimbing(name: String) async throws {
        #expect(try await reason { $0.file(name, "x") }.contains("climbs"))
        #expect(try await reason { $0.hardLink("a", name) }.contains("climbs"))
    }

    @Test func absoluteNamesStayInside() async throws {
        let test = try TestStore()
        let name = "/tmp/noded-evil-\(Random.nameSuffix(12))"
        let root = try await test.layer { tar in
            tar.file(name, "inside")
            tar.file("//\(name).2", "inside")
        }
        #expect(try root.read(name) == Array("inside".utf8) && root.exists(name + ".2"))
        #expect(!Files.exists(name))
    }

    @Test func linksDoNotLeadOut() async throws {
        let test = try TestStore()
        let outside = try ScratchFolder()
        try Files.writeAtomically("\(outside.path)/victim", "safe")
        let climb = String(repeating: "../", count: 20)
        let root = try await test.layer { tar in
            tar.directory("a")
            tar.directory(String(outside.path.dropFirst()))
            tar.symlink("absolute", outside.path)
            tar.symlink("relative", climb + outside.path.dropFirst())
            tar.symlink("proc", "/proc/self/root")
            tar.file("absolute/one", "evil")
            tar.file("relative/two", "evil")
            // Through the name itself: the link is replaced, not followed.
            tar.symlink("victim", "\(outside.path)/victim")
            tar.file("victim", "evil")
            tar.symlink("a/mode", "\(outside.path)/victim")
            tar.add("5", "a/mode", with: Tar.Options(mode: 0o777))
        }
        #expect(try Files.list(outside.path) == ["victim"])
        #expect(try Files.readText("\(outside.path)/victim") == "safe")
        #expect(try Files.attributes("\(outside.path)/victim").mode & 0o777 == 0o600)
        #expect(try root.read("\(outside.path)/one") == Array("evil".utf8))
        #expect(try root.read("\(outside.path)/two") == Array("evil".utf8))
        #expect(try root.attributes("victim").kind == .file && root.attributes("a/mode").kind == .directory)
    }

    @Test func writingThroughADanglingLinkIsRefused() async throws {
        let test = try TestStore()
        let fault = try await test.refusal(
            Layout.simple([
                Tar.layer { tar in
                    tar.symlink("way", "/nowhere/at/all")
                    tar.file("way/file", "x")
                }
            ]).bytes())
        guard case .impossible("way/file", _) = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
    }

    @Test func hardLinksReachOnlyTheirLayer() async throws {
        #expect(try await reason { $0.hardLink("shadow", "/etc/shadow") }.contains("has not made"))
        #expect(
            try await reason { tar in
                tar.symlink("etc", "/etc")
                tar.hardLink("shadow", "etc/shadow")
            }.contains("has not made"))
        // A link is linked itself, never what it leads to.
        let test = try TestStore()
        let root = try await test.layer { tar in
            tar.symlink("link", "/etc/shadow")
            tar.hardLink("second", "link")
        }
        #expect(try root.symlinkTarget("second") == "/etc/shadow")
    }

    @Test func namesWithNULAreRefused() async throws {
        let layer = Tar.layer { $0.file("x", "", Tar.Options(pax: [("path", "etc/pass\u{0}wd")])) }
        let test = try TestStore()
        guard case .unsafe = try await test.refusal(Layout.simple([layer]).bytes()) else {
            Issue.record("accepted")
            return
        }
    }

    // MARK: What means something to the host

    @Test func onlyHarmlessDevicesAreMade() async throws {
        let test = try TestStore()
        let root = try await test.layer { tar in
            tar.add("3", "dev/null", with: Tar.Options(mode: 0o666, major: 1, minor: 3))
            tar.add("4", "disk", with: Tar.Options(mode: 0o666, major: 8, minor: 0))
            tar.add("3", "mem", with: Tar.Options(mode: 0o666, major: 1, minor: 1))
            tar.add("3", "raw-whiteout", with: Tar.Options(major: 0, minor: 0))
            tar.add("6", "fifo", with: Tar.Options(mode: 0o640))
        }
        #expect(try root.list() == ["dev", "fifo"])
        let null = try root.attributes("dev/null")
        #expect(null.kind == .characterDevice && null.deviceMajor == 1 && null.deviceMinor == 3 && null.mode == 0o666)
        #expect(try root.attributes("fifo").kind == .fifo)
    }

    @Test func onlyOwnersInRange() async throws {
        #expect(try await reason { $0.file("x", "", Tar.Options(uid: 4_294_967_295)) }.contains("owner"))
        #expect(try await reason { $0.file("x", "", Tar.Options(gid: 1 << 32)) }.contains("owner"))
        #expect(try await reason { $0.file("x", "", Tar.Options(pax: [("uid", "-1")])) }.contains("owner"))
        let test = try TestStore()
        let root = try await test.layer { $0.file("x", "", Tar.Options(uid: 4_294_967_294, gid: 100_000)) }
        #expect(try root.attributes("x").uid == 4_294_967_294 && root.attributes("x").gid == 100_000)
    }

    @Test func keepsCapabilitiesAndDropsWhatRulesTheHost() async throws {
        let test = try TestStore()
        // struct vfs_ns_cap_data, revision 2: cap_net_bind_service, permitted and effective.
        let capability = "\u{1}\u{0}\u{0}\u{2}\u{0}\u{4}" + String(repeating: "\u{0}", count: 14)
        let root = try await test.layer { tar in
            tar.file(
                "ping", "",
                Tar.Options(
                    mode: 0o4755, uid: 5,
                    pax: [
                        ("SCHILY.xattr.security.capability", capability),
                        ("SCHILY.xattr.trusted.overlay.redirect", "/etc"),
                        ("SCHILY.xattr.security.selinux", "x"), ("SCHILY.xattr.user.note", "kept"),
                        ("SCHILY.xattr.user.overlay.opaque", "y"),
                    ]))
        }
        let path = test.root + "/layers/sha256"
        let file = "\(path)/\(try Files.list(path)[0])/fs/ping"
        #expect(attribute(file, "security.capability")?.count == 20)
        #expect(attribute(file, "user.note") == Array("kept".utf8))
        #expect(attribute(file, "trusted.overlay.redirect") == nil && attribute(file, "user.overlay.opaque") == nil)
        #expect(try root.attributes("ping").mode == 0o4755)
    }

    // MARK: Names

    @Test func laterEntriesReplaceEarlierOnes() async throws {
        let test = try TestStore()
        let root = try await test.layer { tar in
            tar.file("file", "first")
            tar.file("file", "second")
            tar.file("to-folder", "x")
            tar.file("to-folder-2", "x")
            tar.directory("to-folder")
            tar.file("to-folder/in", "y")
            tar.directory("to-file")
            tar.file("to-file/deep/er", "x")
            tar.file("to-file", "z")
            tar.directory("twice", mode: 0o700)
            tar.file("twice/kept", "")
            tar.directory("twice", mode: 0o750)
        }
        #expect(try root.read("file") == Array("second".utf8))
        #expect(try root.read("to-folder/in") == Array("y".utf8))
        #expect(try root.read("to-file") == Array("z".utf8))
        #expect(try root.list("twice") == ["kept"] && root.attributes("twice").mode == 0o750)
    }

    @Test func readsLongNamesOfBothDialects() async throws {
        let test = try TestStore()
        let long = (0..<20).map { "folder-\($0)-\(String(repeating: "x", count: 20))" }.joined(separator: "/")
        let root = try await test.layer { tar in
            tar.file("short", "pax", Tar.Options(pax: [("path", "pax/\(long)"), ("mtime", "1600000000.25")]))
            tar.add("0", "gnu/\(long)", Array("gnu".utf8), with: Tar.Options(isGNU: true))
            tar.add("2", "link", target: long, with: Tar.Options(isGNU: true))
            tar.add(
                "0", "sized", Array("12345".utf8), with: Tar.Options(size: 5, pax: [("size", "5"), ("comment", "")]))
            tar.file("ünïcode", "")
            tar.add("g", "global", Tar.record("path", Array("never".utf8)))
            tar.file("after", "")
        }
        #expect(try root.read("pax/\(long)") == Array("pax".utf8) && root.read("gnu/\(long)") == Array("gnu".utf8))
        #expect(try root.symlinkTarget("link") == long)
        #expect(try root.list() == ["after", "gnu", "link", "pax", "sized", "ünïcode"])
    }

    @Test func ofSeveralExtendedHeadersTheLastCounts() async throws {
        let test = try TestStore()
        func pax(_ key: String, _ value: String) -> [UInt8] { Tar.record(key, Array(value.utf8)) }
        let root = try await test.layer { tar in
            tar.add("x", "pax", pax("path", "first-of-two"))
            tar.add("x", "pax", pax("mtime", "5"))
            tar.file("own-name", "a")
            tar.add("x", "pax", pax("linkpath", "lost"))
            tar.add("x", "pax", pax("path", "link"))
            tar.symlink("own-link", "own-target")
            tar.add("x", "pax", pax("path", "before-global"))
            tar.add("g", "global", pax("comment", "x"))
            tar.file("after-global", "b")
            // GNU's name wins over that of pax, in either order; an empty one is none.
            tar.add("L", "././@LongLink", Array("gnu-first\0".utf8))
            tar.add("x", "pax", pax("path", "pax-second"))
            tar.file("own-3", "c")
            tar.add("x", "pax", pax("path", "pax-first"))
            tar.add("L", "././@LongLink", [0])
            tar.file("own-4", "d")
        }
        #expect(try root.list() == ["after-global", "gnu-first", "link", "own-name", "pax-first"])
        #expect(try root.symlinkTarget("link") == "own-target")
    }

    @Test func refusesWhatItCannotRead() async throws {
        let test = try TestStore()
        let cases: [(String, (inout Tar) -> Void)] = [
            ("sparse", { $0.add("S", "sparse") }),
            ("sparse", { $0.file("x", "", Tar.Options(pax: [("GNU.sparse.major", "1")])) }),
            ("type", { $0.add("Z", "odd") }),
        ]
        for (word, build) in cases {
            let fault = try await test.refusal(Layout.simple([Tar.layer(build)]).bytes())
            guard case .unsupported(let what, _) = fault else {
                Issue.record("\(String(describing: fault))")
                continue
            }
            #expect(what.contains(word))
        }
    }

    // MARK: Bytes

    @Test func refusesDamage() async throws {
        let test = try TestStore()
        let plain = Tar.layer { $0.file("file", String(repeating: "content ", count: 10_000)) }
        func refused(_ stored: [UInt8], _ plain: [UInt8]) async throws -> ArchiveFault? {
            var layout = Layout()
            layout.manifests = [
                Layout.descriptor(Layout.manifestType, layout.image([(stored, plain)]), name: "x")
            ]
            return try await test.refusal(layout.bytes())
        }
        let zipped = gzip(plain)
        let cut = try await refused(Array(zipped.dropLast(20)), plain)
        #expect(cut == .truncated("its gzip stream"))
        #expect(try await refused(Array(plain.prefix(5000)), Array(plain.prefix(5000))) == .truncated("its tar"))
        guard case .malformed = try await refused(zipped + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], plain) else {
            Issue.record("garbage after gzip")
            return
        }
        guard case .malformed = try await refused(Random.bytes(4096), []) else {
            Issue.record("garbage")
            return
        }
        guard case .unsupported = try await refused([0x28, 0xb5, 0x2f, 0xfd] + Random.bytes(600), plain) else {
            Issue.record("zstd")
            return
        }
        // The layer is sound, but not the one the config speaks of.
        guard case .digestMismatch(let what, _, _) = try await refused(zipped, plain + [0]) else {
            Issue.record("diff_id")
            return
        }
        #expect(what == "the unpacked layer")
        // A flipped bit in the blob is told as such, not as the tar fault it causes.
        var layout = Layout()
        let image = layout.image([(zipped, plain)])
        layout.manifests = [Layout.descriptor(Layout.manifestType, image, name: "x")]
        var flipped = zipped
        flipped[flipped.count / 2] ^= 1
        layout.blobs[sha256(zipped)] = flipped
        guard case .digestMismatch = try await test.refusal(layout.bytes()) else {
            Issue.record("flipped bit")
            return
        }
        // Afterwards the same store takes the sound one, in several gzip members.
        layout = Layout()
        let members = gzip(Array(plain.prefix(1000))) + gzip(Array(plain.dropFirst(1000)))
        layout.manifests = [Layout.descriptor(Layout.manifestType, layout.image([(members, plain)]), name: "x")]
        let root = try RootedDirectory(try await test.load(layout.bytes())[0].rootLayers[0])
        #expect(try root.attributes("file").size == 80_000)
    }

    @Test func refusesBombs() async throws {
        var limits = ImageLimits()
        limits.unpackedBytes = 8 << 20
        limits.entries = 100
        let test = try TestStore(limits)
        let zeros = [UInt8](repeating: 0, count: 64 << 20)
        let inFile = Tar.layer { $0.add("0", "zeros", zeros) }
        #expect(gzip(inFile).count < 4 << 20)
        #expect(
            try await test.refusal(Layout.simple([inFile]).bytes())
                == .tooLarge(what: "unpacked bytes", limit: 8 << 20))
        // Behind the end of the tar, where only the digest reads.
        let behind = Tar.layer { $0.file("small", "x") } + zeros
        #expect(
            try await test.refusal(Layout.simple([behind]).bytes())
                == .tooLarge(what: "unpacked bytes", limit: 8 << 20))
        // Spread over layers, and in number.
        let halves = (0..<3).map { number in Tar.layer { $0.add("0", "zeros-\(number)", Array(zeros.prefix(3 << 20))) }
        }
        #expect(
            try await test.refusal(Layout.simple(halves).bytes()) == .tooLarge(what: "unpacked bytes", limit: 8 << 20))
        let many = Tar.layer { tar in for number in 0..<101 { tar.directory("d\(number)") } }
        #expect(
            try await test.refusal(Layout.simple([many]).bytes())
                == .tooLarge(what: "entries of all layers", limit: 100))
        let header = Tar.layer { $0.add("x", "pax", [UInt8](repeating: 0x20, count: 2 << 20)) }
        guard case .tooLarge = try await test.refusal(Layout.simple([header]).bytes()) else {
            Issue.record("extended header")
            return
        }
    }
}
