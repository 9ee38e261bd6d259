// Puts the supervisor's bytes into module Containers, so that the product stays one file. SwiftPM generates no C for
// plugins (so no #embed) and a Swift array literal of 800,000 elements takes minutes to compile; a string literal of
// base64 takes none, and is decoded once, into the sealed memfd that supervisors are executed from.
//
// Symbols and the compiler's own section (.swift_ast, two thirds of the file) stay out.

import Foundation
import PackagePlugin

@main
struct EmbedSupervisor: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let supervisor = try context.tool(named: "Supervisor").url
        let output = context.pluginWorkDirectoryURL.appending(path: "SupervisorImage.swift")
        let script = """
            set -e
            strip() { "$1" --strip-all --remove-section=.swift_ast "$2" "$3"; }
            strip llvm-objcopy "$1" "$2.elf" 2> /dev/null || strip objcopy "$1" "$2.elf"
            printf 'enum SupervisorImage {\\n    static let base64: StaticString = "' > "$2.new"
            base64 -w 0 < "$2.elf" >> "$2.new"
            printf '"\\n}\\n' >> "$2.new"
            rm "$2.elf"
            mv "$2.new" "$2"
            """
        return [
            .buildCommand(
                displayName: "Embed the supervisor", executable: URL(fileURLWithPath: "/bin/sh"),
                arguments: ["-c", script, "sh", supervisor.path, output.path], inputFiles: [supervisor],
                outputFiles: [output])
        ]
    }
}
