// Good archives: what comes out of them, in which formats, and how images share and lose their layers.

import Images
import Kernel
import System
import TestSupport
import Testing

@Suite struct ImportTests {
    static let base = Tar.layer { tar in
        tar.directory("./", mode: 0o711)
        tar.directory("bin")
        tar.add("0", "bin/su", Array("#!".utf8), with: Tar.Options(mode: 0o4755, uid: 7, gid: 8))
        tar.hardLink("bin/again", "/bin/su")
        tar.symlink("bin/sh", "/bin/su")
        tar.directory("tmp", mode: 0o1777)
    }
    static let top = Tar.layer { $0.file("srv/index.html", "hello") }

    @Test(arguments: [true, false]) func importsALayout(compressed: Bool) async throws {
        let test = try TestStore()
        let image = try await test.load(Layout.simple([Self.base, Self.top], compressed: compressed).bytes())[0]
        #expect(image.references == ["docker.io/library/web:v1"])
        #expect(image.layers.map(\.diffID) == [sha256(Self.base), sha256(Self.top)])
        #expect(image.rootLayers == image.layers.reversed().map(\.path))
        #expect(image.size == Self.base.count + Self.top.count)
        #expect(image.pinned)
        #expect(image.config.entrypoint == ["/init"] && image.config.command == ["/bin/web"])
        #expect(image.config.user == "1000:1000" && image.config.workingDirectory == "/srv")
        #expect(image.config.stopSignal == "SIGINT" && image.config.environment == ["PATH=/bin"])
        #expect(image.config.exposedPorts == ["8080/tcp"] && image.config.volumes == ["/data"])
        #expect(image.config.labels == ["a": "b"])

        let root = try RootedDirectory(image.layers[0].path)
        #expect(try root.attributes(".").mode == 0o711)
        let su = try root.attributes("bin/su")
        #expect(su.mode == 0o4755 && su.uid == 7 && su.gid == 8)
        #expect(try root.attributes("bin/again").mode == 0o4755)
        #expect(try root.symlinkTarget("bin/sh") == "/bin/su")
        #expect(try root.attributes("tmp").mode == 0o1777)
        for name in ["bin", "bin/su", "tmp"] {
            #expect(try Files.attributes("\(image.layers[0].path)/\(name)").modified.seconds == 1_700_000_000)
        }
        let upper = try RootedDirectory(image.layers[1].path)
        #expect(try upper.read("srv/index.html") == Array("hello".utf8))
        // Folders no entry describes.
        #expect(try upper.attributes("srv").mode == 0o755 && upper.attributes(".").mode == 0o755)
        #expect(try Files.list("\(test.root)/staging").isEmpty)
        #expect(try Files.attributes(test.root).mode & 0o777 == 0o700)
    }

    @Test func findsByEveryName() async throws {
        let test = try TestStore()
        let image = try await test.load(Layout.simple([Self.top]).bytes())[0]
        for name in [
            "web:v1", "library/web:v1", "docker.io/web:v1", "docker.io/library/web:v1",
            "index.docker.io/library/web:v1",
            image.digest, String(image.digest.dropFirst(7)), image.configDigest, "web@\(image.digest)",
            "web:other@\(image.digest)",
        ] { #expect(try test.store.find(name) == image, "\(name)") }
        #expect(image.id == "docker.io/library/web@\(image.digest)")
        for name in ["web", "web:v2", "quay.io/web:v1", "web@\(sha256([]))", sha256([])] {
            #expect(try test.store.find(name) == nil, "\(name)")
        }
        #expect(throws: ImageError.self) { try test.store.find("Web") }
        #expect(try test.store.list() == [image])
    }

    @Test func importsTheDemoImage() async throws {
        let path = "/tmp/w/web-v1.tar"
        guard Files.exists(path) else {
            print("skipped: \(path) is not there (scripts/demo/image makes it)")
            return
        }
        let folder = try ScratchFolder()
        let store = try ImageStore(root: folder.path + "/images")
        let image = try await store.importArchive(path)[0]
        #expect(image.references == ["ghcr.io/company/web-app:v1.0.0"])
        #expect(try RootedDirectory(image.rootLayers[0]).attributes("bin/busybox").size > 100_000)
    }

    @Test func readsDockerSaveArchives() async throws {
        let config = Array(
            #"{"architecture":"amd64","os":"linux",\#(Layout.config),"rootfs":{"type":"layers","diff_ids":["\#(sha256(Self.base))","\#(sha256(Self.top))"]}}"#
                .utf8)
        func archive(_ top: [UInt8]) -> [UInt8] {
            var tar = Tar()
            tar.add("0", "a/layer.tar", Self.base)
            tar.add("0", "b/layer.tar", top)
            tar.symlink("c/layer.tar", "../b/layer.tar")
            tar.add("0", "config.json", config)
            tar.file(
                "manifest.json",
                #"[{"Config":"config.json","RepoTags":["localhost/web:latest"],"Layers":["a/layer.tar","c/layer.tar"]}]"#
            )
            return tar.closed
        }
        let test = try TestStore()
        let damaged = try await test.refusal(archive(Tar.layer { $0.file("srv/index.html", "hullo") }))
        guard case .digestMismatch = damaged else {
            Issue.record("\(String(describing: damaged))")
            return
        }
        let image = try await test.load(archive(Self.top))[0]
        #expect(image.digest == sha256(config) && image.references == ["localhost/web:latest"])
        #expect(try test.store.find("localhost/web") == image)
        #expect(try RootedDirectory(image.rootLayers[0]).read("srv/index.html") == Array("hello".utf8))
    }

    @Test func choosesThePlatform() async throws {
        let test = try TestStore()
        var layout = Layout()
        let arm = layout.image([(Self.base, Self.base)], architecture: "arm64")
        let amd = layout.image([(Self.top, Self.top)])
        let children = [
            Layout.descriptor(Layout.manifestType, arm, platform: "arm64"),
            Layout.descriptor(Layout.manifestType, (sha256([1]), 1), platform: "s390x"),
            Layout.descriptor(Layout.manifestType, amd, platform: "amd64"),
        ].joined(separator: ",")
        let index = layout.blob(
            Array(#"{"schemaVersion":2,"mediaType":"\#(Layout.indexType)","manifests":[\#(children)]}"#.utf8))
        layout.manifests = [Layout.descriptor(Layout.indexType, index, name: "quay.io/a/b:1")]
        let images = try await test.load(layout.bytes())
        #expect(images.map(\.digest) == [amd.digest])
        #expect(images[0].indexDigests == [index.digest])
        #expect(try test.store.find("quay.io/a/b@\(index.digest)") == images[0])

        layout.manifests = [Layout.descriptor(Layout.manifestType, arm, name: "arm:1")]
        #expect(try await test.refusal(layout.bytes()) == .wrongPlatform(wanted: "linux/amd64", found: ["linux/arm64"]))
    }

    @Test func namesComeFromTheArchiveOrTheUser() async throws {
        let test = try TestStore()
        let nameless = Layout.simple([Self.top], name: nil).bytes()
        let error = await #expect(throws: ImageError.self) { try await test.load(nameless) }
        #expect(error?.description.contains("--name") == true)
        #expect(try await test.load(nameless, name: "ghcr.io/x/y")[0].references == ["ghcr.io/x/y:latest"])
        await #expect(throws: ImageError.self) { try await test.load(nameless, name: "Not A Name") }

        var layout = Layout.simple([Self.top])
        let image = layout.image([(Self.top, Self.top)])
        layout.manifests = [
            Layout.descriptor(
                Layout.manifestType, image, name: "v7", annotation: "org.opencontainers.image.ref.name")
        ]
        let tagOnly = await #expect(throws: ImageError.self) { try await test.load(layout.bytes()) }
        #expect(tagOnly?.description.contains("v7") == true)
        layout.manifests = [
            Layout.descriptor(
                Layout.manifestType, image, name: "a/b:c", annotation: "org.opencontainers.image.ref.name")
        ]
        #expect(try await test.load(layout.bytes())[0].references == ["docker.io/a/b:c"])
    }

    @Test func sharesLayersAndRemovesWithTheLastImage() async throws {
        let test = try TestStore()
        let first = try await test.load(Layout.simple([Self.base], name: "a:1").bytes())[0]
        let second = try await test.load(Layout.simple([Self.base, Self.top], name: "b:1").bytes())[0]
        #expect(first.rootLayers[0] == second.rootLayers[1])
        #expect(try Files.list("\(test.root)/layers/sha256").count == 2)
        #expect(throws: ImageError.self) { try test.store.remove("b:1", inUse: [Set(second.rootLayers)]) }
        #expect(try test.store.find("b:1") == second)
        // Its base is another image's too.
        try test.store.remove("b:1", inUse: [Set(first.rootLayers)])
        #expect(try test.store.find("b:1") == nil)
        #expect(Files.exists(first.rootLayers[0]) && !Files.exists(second.rootLayers[0]))
        #expect(throws: ImageError.self) { try test.store.remove("b:1", inUse: []) }
        try test.store.remove(first.digest, inUse: [])
        #expect(try test.content() == ["/blobs", "/index.json", "/layers", "/staging"])
    }

    @Test func anImageInUseStaysThoughItsLayersAreAnOthersToo() async throws {
        let test = try TestStore()
        let first = try await test.load(Layout.simple([Self.base], name: "a:1").bytes())[0]
        _ = try await test.load(Layout.simple([Self.base, Self.top], name: "b:1").bytes())
        #expect(throws: ImageError.self) { try test.store.remove("a:1", inUse: [Set(first.rootLayers)]) }
        #expect(try test.store.find("a:1") == first)
        try test.store.remove("a:1", inUse: [])
        #expect(try test.store.find("a:1") == nil)
    }

    @Test func movesNames() async throws {
        let test = try TestStore()
        let old = try await test.load(Layout.simple([Self.base]).bytes())[0]
        let new = try await test.load(Layout.simple([Self.top]).bytes())[0]
        #expect(try test.store.find("web:v1") == new)
        #expect(try test.store.find(old.digest)?.references == [])
        #expect(try test.store.removeUnnamed(inUse: Set(old.rootLayers)) == [])
        #expect(try test.store.removeUnnamed(inUse: []) == [old.digest])
        #expect(try test.store.list() == [new])
        try await test.load(Layout.simple([Self.top]).bytes(), name: "other")
        try test.store.remove("web:v1", inUse: [])
        #expect(try test.store.find("other")?.references == ["docker.io/library/other:latest"])
        try test.store.pin("other", false)
        #expect(try test.store.find("other")?.pinned == false)
    }

    @Test func importsManyAtOnce() async throws {
        let test = try TestStore()
        let store = test.store
        var paths: [String] = []
        for number in 0..<8 {
            let own = Tar.layer { $0.file("own", "\(number)") }
            paths.append(try test.write(Layout.simple([Self.base, own], name: "many:\(number)").bytes()))
        }
        let (all, root) = (paths, test.root)
        try await bounded {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for path in all + all { group.addTask { _ = try await store.importArchive(path) } }
                // Others open the store meanwhile, which sweeps what dead imports left, and read it.
                group.addTask {
                    for _ in 0..<50 { _ = try ImageStore(root: root, platform: amd64).list() }
                }
                try await group.waitForAll()
            }
        }
        #expect(try store.list().map(\.references) == (0..<8).map { ["docker.io/library/many:\($0)"] })
        #expect(try Files.list("\(test.root)/layers/sha256").count == 9)
        #expect(try Files.list("\(test.root)/staging").isEmpty)
    }
}
