// What the kernel parameters that noded changes were before, so that `noded reset` can put them back: a machine must
// not stay a router because noded once ran on it. A file in the network's state folder, written before the first
// change:
//
//     origin 0f5a…-boot-id net:[4026531840]
//     net/ipv4/ip_forward 0 1                  name, what it was, what noded wrote
//
// Parameters live as long as their network namespace, and no longer than the boot: a file of another one says nothing
// about this one, and is dropped. A parameter that no longer has noded's value is somebody else's by now and stays.

import Kernel
import System

struct SavedSysctls: Equatable, Sendable {
    struct Entry: Equatable, Sendable {
        let name: String
        /// Words without spaces, as all that noded writes are.
        let before: String
        let ours: String
    }

    /// Which boot and which network namespace this is about.
    let origin: String
    /// In the order in which they were changed.
    private(set) var entries: [Entry] = []

    init(origin: String) { self.origin = origin }

    /// Empty when the text is about something else, or cannot be understood.
    init(_ text: String, origin: String) {
        self.init(origin: origin)
        var lines = text.split(separator: "\n")
        guard !lines.isEmpty, lines.removeFirst() == "origin \(origin)" else { return }
        let parsed = lines.map { line -> Entry? in
            let words = line.split(separator: " ").map(String.init)
            return words.count == 3 ? Entry(name: words[0], before: words[1], ours: words[2]) : nil
        }
        if !parsed.contains(nil) { entries = parsed.compactMap { $0 } }
    }

    var text: String {
        "origin \(origin)\n" + entries.map { "\($0.name) \($0.before) \($0.ours)\n" }.joined()
    }

    /// Before a change: nothing to note when there is none. What was noted before stays only while the value is ours.
    mutating func note(_ name: String, now: String, wanted: String) {
        guard now != wanted else { return }
        entries.removeAll { $0.name == name }
        entries.append(Entry(name: name, before: now, ours: wanted))
    }

    /// What is to be put back, the last change first.
    /// - Parameter current: the value now; nil when there is no such parameter any more.
    func restorations(current: (String) -> String?) -> [Entry] {
        entries.reversed().filter { current($0.name) == $0.ours }
    }

    // MARK: files

    /// The calling thread's boot and network namespace.
    static func here() throws(SystemError) -> String {
        let boot = try Sysctl.read("kernel/random/boot_id")
        return "\(boot) \(Files.symlinkTarget("/proc/thread-self/ns/net") ?? "?")"
    }

    /// Changes parameters of the calling thread's network namespace, the old values noted first.
    /// - Returns: why they could not be noted, for a warning. They are changed all the same: pods need a network, also
    ///   on a full disk, and only a reset would like to know.
    static func change(
        _ wanted: [(name: String, value: String)], notedIn path: String
    ) throws(SystemError) -> SystemError? {
        let known = SavedSysctls((try? Files.readText(path)) ?? "", origin: try here())
        var saved = known
        for (name, value) in wanted { saved.note(name, now: try Sysctl.read(name), wanted: value) }
        var problem: SystemError?
        if saved != known {
            do throws(SystemError) {
                try Files.writeAtomically(path, saved.text)
            } catch {
                problem = error
            }
        }
        for (name, value) in wanted { try Sysctl.set(name, value) }
        return problem
    }

    /// Puts back what is still ours. Repeated it does nothing.
    static func restore(from path: String) throws(SystemError) {
        guard let text = try? Files.readText(path) else { return }
        let saved = SavedSysctls(text, origin: try here())
        for entry in saved.restorations(current: { try? Sysctl.read($0) }) {
            try Sysctl.write(entry.name, entry.before)
        }
        try Files.remove(path)
    }
}
