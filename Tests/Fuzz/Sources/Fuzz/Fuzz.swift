// Fuzz targets over what strangers send: `fuzz TARGET [libFuzzer's arguments]`. scripts/fuzz builds and runs it.
//
// A target takes bytes and traps when something is wrong that no input may make wrong: a crash by itself, or a promise
// broken (what is written parses to the same value, a token comes back as it was). libFuzzer brings the loop, the inputs
// and the measure of the code they reach, and leaves the input of a crash behind; it calls the last two functions below.

import Glibc

/// Every target, by name.
let targets: [(name: String, run: @Sendable ([UInt8]) -> Void)] = [
    ("json", Targets.json),
    ("yaml", Targets.yaml),
    ("patch", Targets.patch),
    ("apply", Targets.apply),
    ("selector", Targets.selector),
    ("token", Targets.token),
    ("path", Targets.path),
    ("grammar", Targets.grammar),
    ("protobuf", Targets.protobuf),
    ("request", Targets.request),
    ("object", Targets.object),
    ("accepted", Targets.accepted),
    ("dns", Targets.dns),
    ("tar", Targets.tar),
    ("framing", Targets.framing),
]

/// Set before the first input, and never again; libFuzzer's callback takes no context.
nonisolated(unsafe) private var chosen: (@Sendable ([UInt8]) -> Void)?

/// libFuzzer's own `main`, but for its name.
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The program's entry under the name that SwiftPM gives that of a target called `fuzz`.
@_cdecl("fuzz_main")
public func enter(
    _ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> CInt {
    var (count, arguments) = (count, arguments)
    return runFuzzer(&count, &arguments) { testOneInput($0, $1) }
}

/// Called first: takes the target's name out of the arguments, which are libFuzzer's from then on.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> CInt {
    guard count.pointee > 1, let first = arguments.pointee[1] else {
        for target in targets { print(target.name) }
        exit(0)
    }
    let name = String(cString: first)
    guard let target = targets.first(where: { $0.name == name }) else {
        print("no target \(name); there are \(targets.map(\.name).joined(separator: ", "))")
        exit(2)
    }
    chosen = target.run
    for index in 1..<Int(count.pointee) { arguments.pointee[index] = arguments.pointee[index + 1] }
    count.pointee -= 1
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    chosen?(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
}
