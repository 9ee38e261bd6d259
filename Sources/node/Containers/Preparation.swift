// What the start of a sandbox or a container does to files, cgroups and the kernel's filters before its supervisor
// hears of it. Values without any of the runtime's state, run on threads of the runtime's own: a disk that hangs, or
// a group whose pages are reclaimed first, holds up what needs it and nobody else's stop, exit or probe.
//
// Whatever fails here is thrown as it is; what was made until then is the caller's to remove.

import Cgroups
import Kernel
import Logging
import SupervisorProtocol
import System

/// Folders, cgroup and plan of one container.
struct ContainerPreparation: Sendable {
    struct Result: Sendable {
        let record: ContainerRecord
        let plan: ContainerPlan
        /// What goes along with the plan: the cgroup, if there is one.
        let descriptors: [SharedDescriptor]
    }

    let config: ContainerConfig
    /// DATA/<uid>/<container id>.
    let folder: String
    let sharedMemory: String
    let hostname: String
    /// The container's; nil where there is no tree.
    let group: Cgroup?
    let hasCgroups: Bool
    let logger: Logger

    func run() throws -> Result {
        var record = record
        let (group, devicesFiltered) = try makeGroup(&record)
        let place = PlanBuilder.Place(
            sharedMemory: sharedMemory, hostname: hostname,
            home: HomeDirectory.find(uid: config.user.uid, layers: config.rootLayers), directory: folder,
            hasCgroups: hasCgroups, devicesFiltered: devicesFiltered, available: try Capabilities.own().effective)
        let plan = try PlanBuilder(config: config, place: place).plan(record: record)
        try Files.makeDirectory(folder, mode: 0o700)
        for name in ["upper", "work", "root"] {
            // The upper directory's mode is that of the container's "/".
            try Files.makeDirectory("\(folder)/\(name)", mode: name == "upper" ? 0o755 : 0o700)
        }
        if let log = config.logPath { try Files.makeDirectory(Files.parent(of: log), mode: 0o755) }
        return Result(record: record, plan: plan, descriptors: group.map { [$0] } ?? [])
    }

    private var record: ContainerRecord {
        var record = ContainerRecord()
        record.name = config.name
        record.attempt = config.attempt
        record.image = config.image
        record.logPath = config.logPath
        record.stopSignal = config.stopSignal
        record.terminal = config.terminal
        record.terminationMessagePath = config.terminationMessagePath
        record.labels = config.labels
        record.annotations = config.annotations
        return record
    }

    /// The container's cgroup with its limits. What is not enforced goes to the record.
    private func makeGroup(_ record: inout ContainerRecord) throws -> (SharedDescriptor?, devicesFiltered: Bool) {
        guard let group else { return (nil, false) }
        var missing = try group.create()
        missing += try group.apply(config.resources)
        record.unenforced = Array(Set(missing.map(\.description))).sorted()
        let descriptor = SharedDescriptor(try group.open())
        guard !config.privileged else { return (descriptor, false) }
        do throws(SystemError) {
            try DeviceFilter.allowDefaults(cgroup: descriptor.raw, name: group.path)
            return (descriptor, true)
        } catch {
            logger.debug("devices are withheld, not filtered", metadata: ["why": "\(error)"])
            return (descriptor, false)
        }
    }
}

/// Folders, cgroup and supervisor of one sandbox.
struct SandboxPreparation: Sendable {
    struct Result: Sendable {
        let record: SandboxRecord
        let plan: SandboxPlan
        /// Our end of the first connection.
        let socket: SharedDescriptor
        let process: ProcessHandle
    }

    let config: SandboxConfig
    /// RUN/<uid> and DATA/<uid>.
    let folder: String
    let dataFolder: String
    /// The pod's; nil where there is no tree.
    let group: Cgroup?
    /// The supervisor's program.
    let executable: SharedDescriptor

    func run() throws -> Result {
        try Files.makeDirectory("\(folder)/shm", mode: 0o700)
        try Files.makeDirectory(dataFolder, mode: 0o700)
        try Files.makeDirectory(config.logDirectory, mode: 0o755)
        var record = record
        // Before there is anything to tidy, what tidying needs to know.
        try Files.writeAtomically("\(folder)/sandbox", record.fields, mode: 0o600)
        var leafGroup: SharedDescriptor?
        if let group {
            var missing = try group.create()
            missing += try group.apply(config.resources)
            record.unenforced = Array(Set(missing.map(\.description))).sorted()
            let leaf = group.child("supervisor")
            try leaf.create(controllers: [])
            leafGroup = SharedDescriptor(try leaf.open())
        }
        // Before there is a supervisor: what cannot be planned starts none.
        let plan = try plan(record)
        let (socket, process) = try spawn(leafGroup)
        return Result(record: record, plan: plan, socket: socket, process: process)
    }

    private var record: SandboxRecord {
        var record = SandboxRecord()
        record.uid = config.uid
        record.name = config.name
        record.namespace = config.namespace
        record.hostname = config.hostNetwork ? "" : config.hostname
        record.ownsNetwork = !config.hostNetwork
        record.ownsIPC = !config.hostIPC
        record.ownsProcesses = !config.hostPID
        record.logDirectory = config.logDirectory
        record.labels = config.labels
        record.annotations = config.annotations
        if group != nil { record.cgroup = config.cgroup ?? "" }
        return record
    }

    private func plan(_ record: SandboxRecord) throws(ContainersError) -> SandboxPlan {
        var plan = SandboxPlan()
        plan.newNetwork = !config.hostNetwork
        plan.newIPC = !config.hostIPC
        plan.newUTS = !config.hostNetwork
        plan.sharedPID = config.shareProcessNamespace && !config.hostPID
        plan.hostPID = config.hostPID
        plan.hostname = Array(config.hostname.utf8)
        plan.sysctls = try SysctlPlan.plan(config)
        plan.sharedMemory = config.hostIPC ? [] : Array("\(folder)/shm".utf8)
        plan.record = record.fields
        return plan
    }

    /// Starts the supervisor with its control socket and a first connection.
    private func spawn(_ leafGroup: SharedDescriptor?) throws(SystemError) -> (SharedDescriptor, ProcessHandle) {
        let listener = try UnixSocket.listen("\(folder)/supervisor.sock", mode: 0o600)
        let (ours, theirs) = try UnixSocket.pair()
        let null = try FileDescriptor.open("/dev/null", [.read])
        let log = try FileDescriptor.open("\(folder)/supervisor.log", [.write, .create, .append], mode: 0o600)
        let process = try Spawn.start(
            executable: executable.raw, name: "supervisor", arguments: ["noded-supervisor", config.uid],
            environment: [], descriptors: [null.raw, log.raw, log.raw, listener.raw, theirs.raw],
            cgroup: leafGroup?.raw)
        return (ours, process)
    }
}
