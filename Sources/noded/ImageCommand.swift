// `noded image`: import, list and remove the images of this node. Works beside a running noded, which sees a new
// image at once.

import ArgumentParser
import Images
import Kernel
import Logging
import System

struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Import, list and remove images.",
        subcommands: [Import.self, List.self, Remove.self])

    struct Location: ParsableArguments {
        @Option(name: .customLong("data-dir"), help: "noded's data directory.")
        var dataDirectory = "/var/lib/noded"

        private var root: String { "\(dataDirectory)/images" }

        /// Opens the store, and makes it when there is none.
        func store() throws -> ImageStore {
            try ImageStore(root: root, logger: LogFactory(format: .text, level: .warning)("images"))
        }

        /// The store, nil when nothing was imported yet: looking makes no files.
        /// - Throws: StartFailure without the data directory: a mistyped path must not look like a node without images.
        func existing() throws -> ImageStore? {
            if Files.isDirectory(root) { return try store() }
            guard Files.isDirectory(dataDirectory) else {
                throw StartFailure(
                    "there is no data directory \(dataDirectory): name that of this node with --data-dir "
                        + "(`noded run` and `noded image import` make it)")
            }
            return nil
        }
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import", abstract: "Import an OCI image archive (a tar of an image layout).")

        @OptionGroup var location: Location
        @Option(help: "Name of the image, for archives that carry none.")
        var name: String?
        @Argument(help: "The archive.")
        var file: String

        func run() async throws {
            do {
                guard Files.exists(file) else { throw StartFailure("\(file): there is no such file") }
                for image in try await location.store().importArchive(file, name: name) {
                    print("\(image.digest)  \(image.references.joined(separator: " "))")
                }
            } catch {
                fail(error)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "List the images of this node.")

        @OptionGroup var location: Location

        func run() async throws {
            do {
                guard let store = try location.existing() else {
                    return note("\(location.dataDirectory) has no images yet: `noded image import FILE` brings them")
                }
                for image in try store.list() {
                    let names = image.references.isEmpty ? ["<none>"] : image.references
                    for name in names { print("\(name)\t\(image.digest)\t\(image.size)") }
                }
            } catch {
                fail(error)
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "remove", abstract: "Remove an image that no container uses.")

        @OptionGroup var location: Location
        @Argument(help: "A name or a digest.")
        var reference: String

        func run() async throws {
            do {
                guard let store = try location.existing() else { throw ImageError.notFound(reference) }
                try store.remove(reference, inUse: LayersInUse.find(relativeTo: store.layersDirectory))
                print("removed \(reference)")
            } catch {
                fail(error)
            }
        }
    }
}

/// The layers that each running container's root stands on, as the kernel tells: the overlays of every process's mount
/// namespace.
enum LayersInUse {
    /// - Parameter folder: of layers that a mount names without their folder (Mounting.swift: before Linux 6.7).
    static func find(relativeTo folder: String) -> Set<Set<String>> {
        var roots: Set<Set<String>> = []
        for name in (try? Files.list("/proc")) ?? [] {
            guard let pid = Int32(name), let mounts = try? MountTable.read(pid: pid) else { continue }
            for mount in mounts where mount.fileSystem == "overlay" {
                var layers: Set<String> = []
                for option in mount.superOptions {
                    guard let mark = option.firstIndex(of: "="), option.hasPrefix("lowerdir") else { continue }
                    let paths = option[option.index(after: mark)...].split(separator: ":")
                    layers.formUnion(paths.map { $0.hasPrefix("/") ? String($0) : "\(folder)/\($0)" })
                }
                roots.insert(layers)
            }
        }
        return roots
    }
}
