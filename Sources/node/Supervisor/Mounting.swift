// A container's mount tree, made by the container's first process between clone and exec, in its own mount namespace.
//
// Sources are host paths and are turned into descriptors of detached mounts while the host's tree is still there. Then
// the root is mounted and made "/" (pivot_root), and the host's tree is let go of: from here on no path can lead to the
// host. Everything else is mounted by descriptor on a place that was resolved inside the root by openat2
// (RESOLVE_IN_ROOT, no magic links), whatever links the image or a shared volume holds.
//
//     sources -> private -> overlay -> pivot -> mounts in the plan's order -> console -> masks -> read-only

import CSupervisor
import SupervisorProtocolE

struct MountTree {
    let plan: ContainerPlan
    private var root: Int32 = -1
    /// Detached clones of bind sources; -1 for other mounts.
    private var sources: [Int32] = []
    /// Our own /dev, and its null device.
    private var devices: Int32 = -1
    private var null: Int32 = -1
    private var emptyDirectory: Int32 = -1
    /// Both ends of the container's terminal.
    private(set) var master: Int32 = -1
    private(set) var peer: Int32 = -1
    /// /dev/null of our own making, open for reading.
    private(set) var standardInput: Int32 = -1

    init(_ plan: ContainerPlan) { self.plan = plan }

    mutating func build() throws(Failure) {
        for mount in plan.mounts { sources.append(mount.kind == .bind ? try bindSource(mount) : -1) }
        try check(.propagation, bytes("/"), sup_make_private())
        root = try overlay()
        try check(.pivot, plan.rootMount, sup_pivot(root))
        // Mode bits of what we make are what we say.
        sup_umask(0)
        for (index, mount) in plan.mounts.enumerated() { try attach(mount, sources[index]) }
        if plan.process.terminal { try console() }
        for path in plan.masked { try mask(path) }
        for path in plan.readOnlyPaths { try protect(path) }
        if plan.rootReadOnly {
            try check(.readOnlyRoot, bytes("/"), sup_mount_attributes(root, 0, MountPlan.readOnly, 0))
        }
        sup_umask(0o022)
    }

    // MARK: Sources

    private func bindSource(_ mount: MountPlan) throws(Failure) -> Int32 {
        var place = try check(.bindSource, mount.source, mount.source.withPath { sup_open_path($0, 0) })
        if !mount.subPath.isEmpty {
            let base = place
            place = try subPath(mount, base)
            _ = sup_close(base)
        }
        let tree = try check(.bindSource, mount.source, sup_tree_clone(place, mount.recursive ? 1 : 0))
        _ = sup_close(place)
        return tree
    }

    /// Below the volume and nowhere else (RESOLVE_BENEATH refuses links that lead out, CVE-2021-25741); missing
    /// directories are made.
    private func subPath(_ mount: MountPlan, _ base: Int32) throws(Failure) -> Int32 {
        let found = mount.subPath.withPath { sup_resolve(base, $0, 0, Int32(SUP_BENEATH)) }
        if found != -SUP_ENOENT { return try check(.subPath, mount.subPath, found) }
        return try makeDirectories(base, mount.subPath, how: Int32(SUP_BENEATH), step: .subPath)
    }

    // MARK: Root

    private func overlay() throws(Failure) -> Int32 {
        let context = try check(.overlay, plan.upper, sup_fsopen("overlay"))
        defer { _ = sup_close(context) }
        // Before Linux 6.5 a context collects options unseen and refuses at the end, for each of 256 bytes at most and
        // with a line in the kernel's log: one that takes this takes anything.
        if sup_fsconfig_flag(context, "noded") >= 0 { return try overlayByOptions() }
        // One option a layer (Linux 6.7), so that neither the option's nor the page's limit counts.
        var first = true
        for layer in plan.lower {
            let result = layer.withPath { sup_fsconfig_string(context, "lowerdir+", $0) }
            if result == -SUP_EINVAL && first { return try overlayByOptions() }
            try check(.overlay, layer, result)
            first = false
        }
        try check(.overlay, plan.upper, plan.upper.withPath { sup_fsconfig_string(context, "upperdir", $0) })
        try check(.overlay, plan.work, plan.work.withPath { sup_fsconfig_string(context, "workdir", $0) })
        // A root lives no longer than its container: nothing in it need survive a power cut, so no sync on the way.
        try check(.overlay, bytes("volatile"), sup_fsconfig_flag(context, "volatile"))
        try check(.overlay, plan.upper, sup_fsconfig_create(context))
        let mount = try check(.overlay, plan.upper, sup_fsmount(context, plan.rootAttributes))
        let place = try check(.overlay, plan.rootMount, plan.rootMount.withPath { sup_open_path($0, 1) })
        try check(.overlay, plan.rootMount, sup_move_mount(mount, place))
        _ = sup_close(place)
        return mount
    }

    /// Before Linux 6.7: one string of at most a page. Layers that are too many for it are named relative to their
    /// common folder, which makes room for about 55 of them.
    private func overlayByOptions() throws(Failure) -> Int32 {
        for path in plan.lower + [plan.upper, plan.work] where path.contains(UInt8(ascii: ",")) {
            throw Failure(.overlay, SUP_EINVAL, path)
        }
        for layer in plan.lower where layer.contains(UInt8(ascii: ":")) { throw Failure(.overlay, SUP_EINVAL, layer) }
        var options = overlayOptions(droppingFirst: 0)
        if options.count > Self.maximumOptions {
            var shared = plan.lower[0]
            for layer in plan.lower {
                while !(layer.starts(with: shared) && shared.last == UInt8(ascii: "/")) { shared.removeLast() }
            }
            options = overlayOptions(droppingFirst: shared.count)
            if options.count > Self.maximumOptions { throw Failure(.overlay, SUP_ENAMETOOLONG, plan.upper) }
            try check(.overlay, shared, shared.withPath { sup_chdir($0) })
        }
        let root = options.withPath { options in
            plan.rootMount.withPath { sup_mount_overlay(options, $0, plan.rootAttributes) }
        }
        return try check(.overlay, plan.rootMount, root)
    }

    /// A page, less the end of the string.
    private static var maximumOptions: Int { 4095 }

    private func overlayOptions(droppingFirst shared: Int) -> [UInt8] {
        var options = bytes("volatile,upperdir=") + plan.upper + bytes(",workdir=") + plan.work + bytes(",lowerdir=")
        for (index, layer) in plan.lower.enumerated() {
            if index > 0 { options.append(UInt8(ascii: ":")) }
            options += layer[shared...]
        }
        return options
    }

    // MARK: Mounts

    private mutating func attach(_ mount: MountPlan, _ source: Int32) throws(Failure) {
        var tree = source
        if mount.kind == .bind {
            try bindAttributes(mount, tree)
        } else {
            tree = try fileSystem(mount)
            if mount.kind == .devices { try populate(tree) }
        }
        let directory = try check(.mountpoint, mount.destination, sup_is_directory(tree)) == 1
        let place = try mountpoint(mount.destination, directory: directory, strict: mount.strict)
        try check(.move, mount.destination, sup_move_mount(tree, place))
        _ = sup_close(place)
        switch mount.kind {
        case .devices: devices = tree
        case .terminals where plan.process.terminal:
            // Now, while nothing but our own devpts can be there (CVE-2025-52565).
            (master, peer) = try Terminal.open(sup_openat(tree, "ptmx", SUP_O_RDWR.int32, 0))
            _ = sup_close(tree)
        default: _ = sup_close(tree)
        }
    }

    private func bindAttributes(_ mount: MountPlan, _ tree: Int32) throws(Failure) {
        // MS_PRIVATE, MS_SLAVE; a shared one stays in its source's peer group, from which it was cloned.
        let propagation: UInt64 =
            switch mount.propagation {
            case .private: 1 << 18
            case .slave: 1 << 19
            case .shared: 0
            }
        if propagation != 0 {
            try check(.propagation, mount.destination, sup_mount_attributes(tree, 1, 0, propagation))
        }
        if mount.attributes != 0 {
            let recursive: Int32 = mount.recursiveAttributes ? 1 : 0
            try check(.attributes, mount.destination, sup_mount_attributes(tree, recursive, mount.attributes, 0))
        }
    }

    private func fileSystem(_ mount: MountPlan) throws(Failure) -> Int32 {
        let context = try check(.fileSystem, mount.destination, mount.source.withPath { sup_fsopen($0) })
        defer { _ = sup_close(context) }
        var index = 0
        while index + 1 < mount.options.count {
            let (key, value) = (mount.options[index], mount.options[index + 1])
            let result = key.withPath { key in
                value.isEmpty
                    ? sup_fsconfig_flag(context, key) : value.withPath { sup_fsconfig_string(context, key, $0) }
            }
            try check(.fileSystem, mount.destination, result)
            index += 2
        }
        try check(.fileSystem, mount.destination, sup_fsconfig_create(context))
        return try check(.fileSystem, mount.destination, sup_fsmount(context, mount.attributes))
    }

    /// Our /dev, filled before anybody can see it; its null device is what masks files later (CVE-2025-31133).
    private mutating func populate(_ tree: Int32) throws(Failure) {
        for device in plan.devices {
            var (folder, parts) = (tree, device.path.components)
            guard let name = parts.popLast() else { continue }
            for part in parts {
                _ = part.withPath { sup_mkdirat(folder, $0, 0o755) }
                let next = try check(.device, device.path, part.withPath { sup_open_child_directory(folder, $0) })
                if folder != tree { _ = sup_close(folder) }
                folder = next
            }
            let result = name.withPath {
                sup_make_node(folder, $0, device.mode, device.major, device.minor, device.uid, device.gid)
            }
            if folder != tree { _ = sup_close(folder) }
            try check(.device, device.path, result)
        }
        try check(.device, bytes("fd"), sup_symlinkat("/proc/self/fd", tree, "fd"))
        try check(.device, bytes("stdin"), sup_symlinkat("/proc/self/fd/0", tree, "stdin"))
        try check(.device, bytes("stdout"), sup_symlinkat("/proc/self/fd/1", tree, "stdout"))
        try check(.device, bytes("stderr"), sup_symlinkat("/proc/self/fd/2", tree, "stderr"))
        try check(.device, bytes("ptmx"), sup_symlinkat("pts/ptmx", tree, "ptmx"))
        standardInput = try check(.device, bytes("null"), sup_openat(tree, "null", SUP_O_RDONLY.int32, 0))
        if sup_is_device(standardInput, 0o020000, 1, 3) != 1 { throw Failure(.device, SUP_ENODEV, bytes("null")) }
    }

    private mutating func console() throws(Failure) {
        if peer < 0 { throw Failure(.terminal, SUP_ENODEV, bytes("/dev/pts")) }
        let place = try mountpoint(bytes("/dev/console"), directory: false, strict: true)
        let tree = try check(.terminal, bytes("/dev/console"), sup_tree_clone(peer, 0))
        try check(.terminal, bytes("/dev/console"), sup_move_mount(tree, place))
        _ = sup_close(tree)
        _ = sup_close(place)
    }

    // MARK: Hiding

    private mutating func mask(_ path: [UInt8]) throws(Failure) {
        let place = path.withPath { sup_resolve(root, $0, 0, Int32(SUP_IN_ROOT | SUP_NO_SYMLINKS)) }
        if place == -SUP_ENOENT || place == -SUP_ENOTDIR { return }
        try check(.maskedPath, path, place)
        defer { _ = sup_close(place) }
        let cover: Int32
        if sup_is_directory(place) == 1 {
            if emptyDirectory < 0 {
                let context = try check(.maskedPath, path, sup_fsopen("tmpfs"))
                try check(.maskedPath, path, sup_fsconfig_create(context))
                // Read-only, no setuid, no devices, no execution.
                emptyDirectory = try check(.maskedPath, path, sup_fsmount(context, 15))
                _ = sup_close(context)
                cover = emptyDirectory
            } else {
                cover = try check(.maskedPath, path, sup_tree_clone(emptyDirectory, 0))
            }
        } else {
            if null < 0 {
                null = devices < 0 ? -SUP_ENODEV : sup_resolve(devices, "null", 0, Int32(SUP_BENEATH | SUP_NO_SYMLINKS))
                try check(.maskedPath, path, null)
                if sup_is_device(null, 0o020000, 1, 3) != 1 { throw Failure(.maskedPath, SUP_ENODEV, path) }
            }
            cover = try check(.maskedPath, path, sup_tree_clone(null, 0))
        }
        try check(.maskedPath, path, sup_move_mount(cover, place))
        if cover != emptyDirectory { _ = sup_close(cover) }
    }

    private func protect(_ path: [UInt8]) throws(Failure) {
        let place = path.withPath { sup_resolve(root, $0, 0, Int32(SUP_IN_ROOT | SUP_NO_SYMLINKS)) }
        if place == -SUP_ENOENT || place == -SUP_ENOTDIR { return }
        try check(.readOnlyPath, path, place)
        let tree = try check(.readOnlyPath, path, sup_tree_clone(place, 1))
        try check(.readOnlyPath, path, sup_mount_attributes(tree, 1, MountPlan.readOnly, 0))
        try check(.readOnlyPath, path, sup_move_mount(tree, place))
        _ = sup_close(tree)
        _ = sup_close(place)
    }

    // MARK: Places

    /// The place itself (O_PATH); a missing one is made, as a directory or an empty file.
    private func mountpoint(_ path: [UInt8], directory: Bool, strict: Bool) throws(Failure) -> Int32 {
        let how = Int32(strict ? SUP_IN_ROOT | SUP_NO_SYMLINKS : SUP_IN_ROOT)
        let found = path.withPath { sup_resolve(root, $0, directory ? 1 : 0, how) }
        if found != -SUP_ENOENT { return try check(.mountpoint, path, found) }
        if directory { return try makeDirectories(root, path, how: how, step: .mountpoint) }
        var parts = path.components
        guard let name = parts.popLast() else { throw Failure(.mountpoint, SUP_EINVAL, path) }
        let folder = try makeDirectories(root, joined(parts), how: how, step: .mountpoint)
        let file = name.withPath { sup_create_file(folder, $0) }
        // Somebody made it meanwhile: then what is there must do.
        if file != -SUP_EEXIST { _ = sup_close(try check(.mountpoint, path, file)) }
        let place = name.withPath { sup_resolve(folder, $0, 0, Int32(SUP_BENEATH | SUP_NO_SYMLINKS)) }
        _ = sup_close(folder)
        return try check(.mountpoint, path, place)
    }

    func makeWorkingDirectory(_ path: [UInt8]) throws(Failure) {
        let found = path.withPath { sup_resolve(root, $0, 1, Int32(SUP_IN_ROOT)) }
        if found != -SUP_ENOENT {
            _ = sup_close(try check(.workingDirectory, path, found))
        } else {
            _ = sup_close(try makeDirectories(root, path, how: Int32(SUP_IN_ROOT), step: .workingDirectory))
        }
    }
}

func joined(_ parts: [[UInt8]]) -> [UInt8] {
    if parts.isEmpty { return bytes(".") }
    var path: [UInt8] = []
    for part in parts {
        if !path.isEmpty { path.append(UInt8(ascii: "/")) }
        path += part
    }
    return path
}

/// What exists of the path is resolved by the kernel; the rest is made step by step on descriptors, never following a
/// link by name (CVE-2024-45310). A dangling link (/var/run -> /run in an image without /run) is replaced by its text,
/// and the whole resolved anew inside the root; below a volume (`SUP_BENEATH`) it is refused.
func makeDirectories(
    _ base: Int32, _ path: [UInt8], how: Int32, step: Step, links: Int = 0
) throws(Failure) -> Int32 {
    var present = path.components
    var missing: [[UInt8]] = []
    var current: Int32
    while true {
        current = joined(present).withPath { sup_resolve(base, $0, 1, how) }
        if current != -SUP_ENOENT { break }
        guard let last = present.popLast() else { break }
        missing.append(last)
    }
    try check(step, path, current)
    while let part = missing.popLast() {
        if part.equals("..") { throw Failure(step, SUP_EINVAL, path) }
        let made = part.withPath { sup_mkdirat(current, $0, 0o755) }
        if made != -SUP_EEXIST { try check(step, path, made) }
        let next = part.withPath { sup_open_child_directory(current, $0) }
        if next == -SUP_ENOTDIR, how & SUP_IN_ROOT != 0, how & SUP_NO_SYMLINKS == 0, links < 40,
            var target = linkTarget(current, part)
        {
            _ = sup_close(current)
            if target.first != UInt8(ascii: "/") { target = joined(present) + bytes("/") + target }
            for rest in missing.reversed() { target += bytes("/") + rest }
            return try makeDirectories(base, target, how: how, step: step, links: links + 1)
        }
        try check(step, path, next)
        _ = sup_close(current)
        current = next
        present.append(part)
    }
    return current
}

private func linkTarget(_ folder: Int32, _ name: [UInt8]) -> [UInt8]? {
    var text = [UInt8](repeating: 0, count: 4096)
    let count = text.withUnsafeMutableBytes { buffer in
        name.withPath { sup_readlinkat(folder, $0, buffer.baseAddress, buffer.count) }
    }
    if count <= 0 { return nil }
    text.removeLast(text.count - Int(count))
    return text
}
