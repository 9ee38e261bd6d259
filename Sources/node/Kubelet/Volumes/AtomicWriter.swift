// Files that change all at once, as Kubernetes volumes do it, so that programs may watch for it:
//
//     volume/..2026_11_21_03_04_05.123456789/key     the files of one version
//     volume/..data -> ..2026_11_21_…                 renamed over in one step
//     volume/key -> ..data/key                        never changes
//
// A crash in between leaves either version whole; leftovers are removed by the next write.

import System

enum AtomicWriter {
    /// Makes the directory hold exactly `files`. Returns false when it already did.
    /// - Parameter group: owner group of everything (fsGroup), which then may read it.
    @discardableResult
    static func write(_ files: [String: VolumeFile], to directory: String, group: UInt32?, now: Timestamp) throws
        -> Bool
    {
        let current = Files.symlinkTarget("\(directory)/..data")
        if let current, holds("\(directory)/\(current)", files, directory) { return false }
        let version = ".." + stamp(now)
        let folder = "\(directory)/\(version)"
        try Files.removeTree(folder)
        try Files.makeDirectory(folder, mode: 0o755)
        try own(folder, group, mode: 0o755)
        for (path, file) in files { try write(file, folder: folder, path: path, group) }
        let link = "\(directory)/..data_tmp"
        try Files.remove(link)
        try Files.symlink(link, to: version)
        try Files.rename(link, to: "\(directory)/..data")
        let tops = Set(files.keys.map { String($0.split(separator: "/").first ?? "") })
        for top in tops where Files.symlinkTarget("\(directory)/\(top)") == nil {
            try Files.symlink("\(directory)/\(top)", to: "..data/\(top)")
        }
        for entry in try Files.list(directory) where entry != "..data" && entry != version && !tops.contains(entry) {
            try Files.removeTree("\(directory)/\(entry)")
        }
        return true
    }

    private static func write(_ file: VolumeFile, folder: String, path: String, _ group: UInt32?) throws {
        var parent = folder
        for part in path.split(separator: "/").dropLast() {
            parent += "/\(part)"
            guard !Files.exists(parent) else { continue }
            try Files.makeDirectory(parent, mode: 0o755)
            try own(parent, group, mode: 0o755)
        }
        let mode = group == nil ? file.mode : file.mode | ((file.mode & 0o400) >> 3)
        let target = "\(folder)/\(path)"
        let descriptor = try FileDescriptor.open(target, [.write, .create, .exclusive], mode: 0o600)
        try descriptor.write(all: file.bytes)
        try own(target, group, owner: file.owner, mode: mode)
    }

    private static func own(_ path: String, _ group: UInt32?, owner: UInt32? = nil, mode: UInt32) throws {
        if group != nil || owner != nil { try Files.setOwner(path, uid: owner ?? 0, gid: group ?? 0) }
        try Files.setMode(path, mode)
    }

    private static func holds(_ folder: String, _ files: [String: VolumeFile], _ directory: String) -> Bool {
        guard var count = try? countFiles(folder) else { return false }
        for (path, file) in files {
            guard let bytes = try? Files.read("\(folder)/\(path)"), bytes == file.bytes else { return false }
            guard Files.exists("\(directory)/\(path)") else { return false }
            count -= 1
        }
        return count == 0
    }

    private static func countFiles(_ folder: String) throws -> Int {
        var count = 0
        for entry in try Files.list(folder) {
            let path = "\(folder)/\(entry)"
            count += Files.isDirectory(path) ? try countFiles(path) : 1
        }
        return count
    }

    /// 2026_11_21_03_04_05.123456789
    private static func stamp(_ now: Timestamp) -> String {
        String(
            decoding: now.rfc3339Nano.utf8.compactMap { byte -> UInt8? in
                switch byte {
                case UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "T"): UInt8(ascii: "_")
                case UInt8(ascii: "Z"): nil
                default: byte
                }
            }, as: UTF8.self)
    }
}
