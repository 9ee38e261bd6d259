// Users and groups come from the files that a container would see, never from those that its image has deleted.

import Containers
import Kernel
import System
import Testing

@testable import Kubelet

@Suite struct ImageUsersTests {
    /// Two layers: the lower one knows `app` as 1000 with the groups 1000 and 27; `upper` changes the upper one.
    private func resolve(_ user: String, _ upper: (RootedDirectory) throws -> Void) async throws -> ContainerUser {
        var result: ContainerUser?
        try await withFolder { folder in
            for name in ["upper", "lower/etc"] { try Files.makeDirectory("\(folder)/\(name)", mode: 0o755) }
            try Files.writeAtomically("\(folder)/lower/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/\n")
            try Files.writeAtomically("\(folder)/lower/etc/group", "app:x:1000:\nsudo:x:27:app\n")
            try upper(RootedDirectory("\(folder)/upper"))
            result = try ImageUsers(layers: ["\(folder)/upper", "\(folder)/lower"]).resolve(user)
        }
        return try #require(result)
    }

    @Test func filesOfTheLowerLayerCount() async throws {
        let user = try await resolve("app") { try $0.makeDirectories("etc") }
        #expect(user == ContainerUser(uid: 1000, gid: 1000, supplementalGroups: [27]))
    }

    @Test func aDeletedFileNamesNobody() async throws {
        await #expect(throws: KubeletError.self) {
            try await resolve("app") {
                try $0.makeDirectories("etc")
                try $0.makeNode("etc/passwd", mode: 0o020000, major: 0, minor: 0)
            }
        }
        let user = try await resolve("1000") { try $0.makeNode("etc", mode: 0o020000, major: 0, minor: 0) }
        #expect(user == ContainerUser(uid: 1000))
    }

    @Test func groupsOfADeletedFileAreNotGiven() async throws {
        let user = try await resolve("app") {
            try $0.makeDirectories("etc")
            try $0.makeNode("etc/group", mode: 0o020000, major: 0, minor: 0)
        }
        #expect(user == ContainerUser(uid: 1000, gid: 1000))
    }

    @Test func anOpaqueFolderHidesTheFiles() async throws {
        let user = try await resolve("1000") {
            try $0.makeDirectories("etc")
            try $0.setExtendedAttribute("etc", "trusted.overlay.opaque", [UInt8(ascii: "y")])
        }
        #expect(user == ContainerUser(uid: 1000))
    }

    @Test func aFileThatCannotBeReadIsAnError() async throws {
        await #expect(throws: SystemError.self) {
            try await resolve("1000") {
                try $0.makeDirectories("etc")
                try $0.makeNode("etc/group", mode: 0o010644, major: 0, minor: 0)
            }
        }
    }
}
