// `noded backup FILE`: the cluster in one file, from a running noded or from its data directory.
//
// In it are the objects of the API as they were at one revision, and the keys without which they are worth little: the
// certificate authority and whatever else lies in DATA/pki (service account keys too). Not in it: Leases (rewritten in
// seconds), images (they come from their registry), volumes, logs, the admin kubeconfig (made anew at each start).

import ArgumentParser
import Store
import System

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Write the cluster's objects and keys to one file.",
        discussion: """
            Works beside a running noded and holds nothing up. The file appears whole or not at all. It contains \
            Secrets and private keys in plain text: keep it (mode 0600) as safe as the machine itself.
            """)

    @Argument(help: "The file; one that is there is replaced once the new one is whole.")
    var file: String

    @Option(name: .customLong("data-dir"), help: "noded's data directory.")
    var dataDirectory = "/var/lib/noded"

    func run() {
        do {
            guard !Files.isDirectory(file) else { throw StartFailure("\(file) is a directory: name a file in it") }
            // The new file takes the place of the old one: a device or a socket would be gone.
            guard !Files.exists(file) || Files.isRegular(file) else {
                throw StartFailure("\(file) is no regular file and would be replaced by one: name another")
            }
            let temporary = "\(file).\(Random.nameSuffix(8)).tmp"
            do {
                let summary = try write(temporary)
                try Files.rename(temporary, to: file)
                try Files.syncDirectory(Files.parent(of: file))
                print("\(file): \(summary)")
            } catch {
                try? Files.remove(temporary)
                throw error
            }
        } catch {
            fail(error)
        }
    }

    private func write(_ path: String) throws -> String {
        let output = try FileDescriptor.open(path, [.write, .create, .exclusive, .noFollow], mode: 0o600)
        var writer: BackupWriter?
        var (revision, objects, files, size) = (UInt64(0), 0, 0, 0)
        func flush() throws {
            guard let bytes = writer?.take() else { return }
            size += bytes.count
            try output.write(all: bytes)
        }
        var reader = try source()
        while let record = try reader.next() {
            switch record {
            case .state(let current, let time):
                revision = current
                writer = BackupWriter(revision: current, time: time)
            case .object(let object):
                writer?.add(object)
                objects += 1
            case .file, .end: break
            }
            if let writer, writer.bytes.count > 1 << 20 { try flush() }
        }
        for file in try BackupFiles.collect(dataDirectory) {
            writer?.file(file.path, mode: file.mode, file.content)
            files += 1
        }
        writer?.end()
        try flush()
        try output.sync()
        return "\(objects) objects at revision \(revision), \(files) key files, \(size) bytes"
    }

    private func source() throws -> BackupReader {
        if let answer = try StoreControl.ask("backup", dataDirectory) {
            return try BackupReader(path: "the answer of noded") { try answer.read($0) }
        }
        let snapshot = try OfflineStore(path: StorePlace.file(dataDirectory)).snapshot()
        var pieces: [[UInt8]] = []
        snapshot.send { pieces.append($0) }
        pieces.reverse()
        return try BackupReader(path: StorePlace.file(dataDirectory)) { _ in pieces.popLast() ?? [] }
    }
}

/// The files beside the store that a restore needs.
enum BackupFiles {
    /// Folders of the data directory.
    private static let folders = ["pki"]

    typealias File = (path: String, mode: UInt32, content: [UInt8])

    static func collect(_ dataDirectory: String) throws -> [File] {
        var found: [File] = []
        for folder in folders where Files.isDirectory("\(dataDirectory)/\(folder)") {
            try collect(folder, dataDirectory, &found)
        }
        return found
    }

    private static func collect(_ folder: String, _ base: String, _ found: inout [File]) throws {
        for name in try Files.list("\(base)/\(folder)") {
            let path = "\(folder)/\(name)"
            if Files.isDirectory("\(base)/\(path)") {
                try collect(path, base, &found)
            } else if !name.hasSuffix(".tmp") {
                let mode = try Files.attributes("\(base)/\(path)").mode & 0o777
                found.append((path, mode, try Files.read("\(base)/\(path)")))
            }
        }
    }

    /// Writes them where they were. Throws before anything is written when one would land elsewhere.
    static func restore(_ files: [File], to dataDirectory: String) throws {
        for file in files {
            let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count > 1, folders.contains(String(parts[0])),
                !parts.contains(where: { ["", ".", ".."].contains($0) })
            else { throw StartFailure("the backup has a file \(file.path), which belongs nowhere in \(dataDirectory)") }
        }
        for file in files {
            let path = "\(dataDirectory)/\(file.path)"
            try Files.makeDirectory(Files.parent(of: path), mode: 0o700)
            try Files.writeAtomically(path, file.content, mode: file.mode)
        }
    }
}
