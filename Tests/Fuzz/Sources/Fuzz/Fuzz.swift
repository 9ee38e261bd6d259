// Fuzz targets over what strangers send: `fuzz TARGET [libFuzzer's arguments]`. scripts/fuzz builds and runs it.
//
// A target takes bytes and traps when something is wrong that no input may make wrong: a crash by itself, or a promise
// broken (what is written parses to the same value, a token comes back as it was). libFuzzer brings the inputs, measures
// the code they reach, and leaves the input of a crash behind.

import CFuzzer
import Glibc

/// Every target, by name.
let targets: [(name: String, run: @Sendable ([UInt8]) -> Void)] = [
    ("json", Targets.json),
    ("yaml", Targets.yaml),
    ("patch", Targets.patch),
    ("selector", Targets.selector),
    ("token", Targets.token),
    ("path", Targets.path),
    ("request", Targets.request),
    ("object", Targets.object),
]

/// Set before the driver runs, and never again; libFuzzer's callback takes no context.
nonisolated(unsafe) private var chosen: (@Sendable ([UInt8]) -> Void)?

@main enum Fuzz {
    static func main() {
        guard CommandLine.arguments.count > 1 else {
            for target in targets { print(target.name) }
            return
        }
        guard let target = targets.first(where: { $0.name == CommandLine.arguments[1] }) else {
            print("no target \(CommandLine.arguments[1]); there are \(targets.map(\.name))")
            exit(2)
        }
        chosen = target.run
        var arguments: [UnsafeMutablePointer<CChar>?] =
            ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) } + [nil]
        var count = Int32(arguments.count - 1)
        let code = arguments.withUnsafeMutableBufferPointer { buffer in
            var base = buffer.baseAddress
            return LLVMFuzzerRunDriver(&count, &base) { data, size in
                chosen?(Array(UnsafeBufferPointer(start: data, count: size)))
                return 0
            }
        }
        exit(code)
    }
}
