// A stand-in for noded that tests may kill: makes a sandbox with one container that counts, writes the pids to LOGS/pids, and sleeps.
// Arguments: RUN DATA LOGS ROOT CGROUP UID CONTAINER-ID.

import Cgroups
import Containers
import Logging
import System

let arguments = CommandLine.arguments
guard arguments.count == 8 else { fatalError("usage: containers-controller RUN DATA LOGS ROOT CGROUP UID ID") }
let runtime = try PodRuntime(
    runDirectory: arguments[1], dataDirectory: arguments[2], logger: Logger(label: "containers-controller"))
let sandbox = try await runtime.createSandbox(
    SandboxConfig(
        uid: arguments[6], name: "survivor", namespace: "default", hostname: "survivor",
        cgroup: arguments[5].isEmpty ? nil : arguments[5], logDirectory: arguments[3]))
let container = try await runtime.startContainer(
    sandbox: arguments[6],
    ContainerConfig(
        id: arguments[7], name: "main", rootLayers: [arguments[4]],
        arguments: ["/bin/sh", "-c", "i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done"],
        logPath: "\(arguments[3])/main/0.log"))
guard case .running(let pid, _) = container.state else { fatalError("not running: \(container.state)") }
try Files.writeAtomically("\(arguments[3])/pids", "\(sandbox.supervisorPID) \(pid)")
while true { try await Task.sleep(for: .seconds(60)) }
