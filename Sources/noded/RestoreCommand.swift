// `noded restore FILE`: makes the store and the keys of a data directory from a backup.
//
// The store goes on a billion revisions later (OfflineStore), so every client lists anew. What was there stays beside
// as state.db.replaced-TIME; keys are replaced. Everything is read and checked before anything is touched.

import ArgumentParser
import Glibc
import Store
import System

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make the store and the keys of a data directory from a backup.",
        discussion: "noded must not be running. Without --force only where there is no store yet.")

    @Argument(help: "A file made by `noded backup`.")
    var file: String

    @Option(name: .customLong("data-dir"), help: "noded's data directory.")
    var dataDirectory = "/var/lib/noded"

    @Flag(help: "Replace the store that is there; it is kept beside.")
    var force = false

    func run() {
        do {
            try verify()
            try Files.makeDirectory(dataDirectory, mode: 0o711)
            let lock = try lockData()
            defer { withExtendedLifetime(lock) {} }
            try Files.makeDirectory(StorePlace.folder(dataDirectory), mode: 0o700)
            var reader = try open()
            let made = try OfflineStore.restore(
                to: StorePlace.file(dataDirectory), replace: force, { try reader.next() },
                files: { try BackupFiles.restore($0, to: dataDirectory) })
            print("\(dataDirectory): \(made.objects) objects restored; revisions go on from \(made.revision)")
        } catch {
            fail(error)
        }
    }

    /// Reads all of it.
    private func verify() throws {
        var reader = try open()
        while try reader.next() != nil {}
    }

    private func open() throws -> BackupReader {
        let input = SharedDescriptor(try FileDescriptor.open(file))
        return try BackupReader(path: file) { try input.read(upTo: $0) }
    }

    private func lockData() throws -> FileLock {
        do throws(SystemError) {
            return try Files.lock("\(dataDirectory)/noded.lock", wait: false)
        } catch {
            guard error.errno == .EAGAIN else { throw error }
            throw StartFailure("a noded is running on \(dataDirectory): stop it first")
        }
    }
}
