// Plays the world to a PodMachine: answers its actions the way a healthy node would, with a clock that only moves
// when told. Whatever a test wants to go differently it answers itself.

import Objects
import System
import Testing

@testable import Kubelet

struct World {
    var machine: PodMachine
    var time = Duration.zero
    /// Everything asked for so far, in order.
    var log: [PodAction] = []
    /// Asked for and not answered by `settle`.
    var open: [PodAction] = []
    var timers: [(timer: PodTimer, at: Duration)] = []
    var nextID = 0
    /// Why nothing can be resized.
    var refusal: ResizeRefusal?
    /// Containers whose image is missing.
    var missing: Set<String> = []
    /// Containers that cannot be started, and why.
    var broken: [String: (reason: String, message: String)] = [:]

    init(_ yaml: String) throws {
        machine = PodMachine(try PodPlan(yaml: yaml))
    }

    static let epoch: Int64 = 1_700_000_000

    var now: Moment {
        Moment(wall: Timestamp(seconds: World.epoch + time.components.seconds), uptime: time)
    }

    @discardableResult
    mutating func send(_ event: PodEvent) -> [PodAction] {
        let actions = machine.handle(event, at: now)
        log += actions
        for action in actions {
            if case .arm(let timer, let delay) = action {
                timers.append((timer, time + delay))
            } else {
                open.append(action)
            }
        }
        return actions
    }

    /// Answers everything a healthy node answers at once, until nothing more is asked. Stops and hooks stay open.
    mutating func settle() {
        var round = 0
        while !open.isEmpty, round < 1000 {
            round += 1
            let action = open.removeFirst()
            switch action {
            case .mountVolumes: send(.volumesReady)
            case .createSandbox: send(.sandboxReady)
            case .resize:
                let grants = machine.resizes.map { ($0.plan.name, $0.plan.resources) }
                if let refusal {
                    send(.resizeRefused(refusal))
                } else {
                    send(.resized(Dictionary(uniqueKeysWithValues: grants), unenforced: []))
                }
            case .attachNetwork: send(.networkReady(["10.42.0.7"]))
            case .resolveImage(let name) where missing.contains(name):
                send(.imageFailed(container: name, reason: "ErrImagePull", message: "not on this node"))
            case .resolveImage(let name):
                send(.imageReady(container: name, imageID: "sha256:1", found: "Container image already present"))
            case .start(let name, _):
                if let (reason, message) = broken[name] {
                    send(.startFailed(container: name, reason: reason, message: message))
                    continue
                }
                nextID += 1
                send(.started(container: name, id: "c\(nextID)", at: now.wall))
            case .teardown: send(.tornDown)
            case .deleteObject: send(.objectDeleted)
            case .drainEndpoints: send(.drained)
            default:
                open.append(action)
                if open.allSatisfy(Self.stays) { return }
            }
        }
    }

    private static func stays(_ action: PodAction) -> Bool {
        switch action {
        case .runHook, .stop, .startProbe, .stopProbe, .report, .forget: true
        default: false
        }
    }

    mutating func begin() {
        send(.begin)
        settle()
    }

    /// Lets time pass and fires what is due on the way.
    mutating func pass(_ duration: Duration) {
        let end = time + duration
        while let index = timers.indices.filter({ timers[$0].at <= end }).min(by: { timers[$0].at < timers[$1].at }) {
            let timer = timers.remove(at: index)
            time = max(time, timer.at)
            send(.timer(timer.timer))
            settle()
        }
        time = end
    }

    func id(_ name: String) -> String { machine.latest(name)?.id ?? "" }

    mutating func exit(_ name: String, _ code: Int, oom: Bool = false) {
        let end = Termination(
            exitCode: code, reason: oom ? "OOMKilled" : nil, startedAt: now.wall, finishedAt: now.wall,
            containerID: id(name))
        send(.exited(container: name, id: id(name), end))
        settle()
    }

    var status: JSON { machine.status(host: HostFacts(addresses: ["192.0.2.1"]), qosClass: "BestEffort") }

    func container(_ name: String) -> JSON {
        (status.list("containerStatuses") + status.list("initContainerStatuses"))
            .first { $0.text("name") == name } ?? .null
    }

    func state(_ name: String) -> String {
        let state = container(name).child("state")
        let kind = state.object?.keys.first ?? "none"
        guard let reason = state.child(kind).text("reason") else { return kind }
        return "\(kind) \(reason)"
    }

    func condition(_ type: String) -> String {
        status.list("conditions").first { $0.text("type") == type }?.text("status") ?? "absent"
    }

    var phase: String { status.text("phase") ?? "" }

    func reports(_ reason: String) -> [String] {
        log.compactMap { if case .report(let report) = $0, report.reason == reason { report.message } else { nil } }
    }

    /// The names of containers that were asked to start, in order.
    var starts: [String] { log.compactMap { if case .start(let name, _) = $0 { name } else { nil } } }
    var stops: [String] { log.compactMap { if case .stop(let name, _, _) = $0 { name } else { nil } } }

    func grace(_ name: String) -> Duration? {
        for case .stop(name, _, let grace) in log.reversed() { return grace }
        return nil
    }

    mutating func forgetLog() { log = [] }

    mutating func delete(grace: Int) {
        var plan = machine.plan
        plan.deletionGrace = .seconds(grace)
        send(.desired(plan))
    }
}

extension PodPlan {
    init(yaml text: String) throws { self.init(try yaml(text)) }
}

let header = """
    apiVersion: v1
    kind: Pod
    metadata: {name: web, namespace: default, uid: u1, generation: 1}

    """
