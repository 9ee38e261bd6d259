// GET /metrics in Prometheus' text format (exposition format 0.0.4): requests, watches, objects, the process.
//
// Made on request from what is counted anyway. What /proc does not tell is left out.

internal import HTTP
internal import Objects
internal import System

struct MetricsPage {
    private var text = ""

    static func response(_ core: APICore, _ metrics: Metrics, _ inFlight: InFlight) -> HTTPResponse {
        var page = MetricsPage()
        page.requests(metrics)
        page.underWay(metrics, inFlight)
        page.storage(core)
        page.process()
        return HTTPResponse(
            status: 200, headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"],
            bytes: Array(page.text.utf8))
    }

    private mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private mutating func line(_ name: String, _ value: String) { line(name, [], value) }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    private mutating func requests(_ metrics: Metrics) {
        let all = metrics.requests
        family("apiserver_request_total", "counter", "Requests by verb, resource and HTTP status.")
        for (labels, series) in all {
            for (code, count) in series.codes.sorted(by: { $0.key < $1.key }) {
                line("apiserver_request_total", [("code", String(code))] + labels.pairs, String(count))
            }
        }
        let name = "apiserver_request_duration_seconds"
        family(name, "histogram", "Seconds from a request to its answer; endless answers are not in it.")
        for (labels, series) in all where series.count > 0 {
            let pairs = labels.pairs
            var sum: UInt64 = 0
            for (index, count) in series.counts.enumerated() {
                sum += count
                let bound = index < Metrics.buckets.count ? "\(Metrics.buckets[index])" : "+Inf"
                line(name + "_bucket", pairs + [("le", bound)], String(sum))
            }
            line(name + "_sum", pairs, "\(series.seconds)")
            line(name + "_count", pairs, String(series.count))
        }
    }

    private mutating func underWay(_ metrics: Metrics, _ inFlight: InFlight) {
        family("apiserver_current_inflight_requests", "gauge", "Requests that wait for their answer.")
        let now = inFlight.now
        line("apiserver_current_inflight_requests", [("request_kind", "mutating")], String(now.writes))
        line("apiserver_current_inflight_requests", [("request_kind", "readOnly")], String(now.reads))
        family("apiserver_longrunning_requests", "gauge", "Open watches, followed logs and upgraded connections.")
        for (labels, count) in metrics.open {
            line("apiserver_longrunning_requests", labels.pairs, String(count))
        }
    }

    private mutating func storage(_ core: APICore) {
        family("apiserver_storage_objects", "gauge", "Stored objects by resource.")
        let caches = core.allCaches.sorted { $0.declaration.id.groupResource < $1.declaration.id.groupResource }
        for cache in caches {
            line(
                "apiserver_storage_objects", [("resource", cache.declaration.id.groupResource)], String(cache.count))
        }
        family("apiserver_registered_watchers", "gauge", "Live watches by resource, those in this process included.")
        for cache in caches {
            let count = cache.receivers.count
            let id = cache.declaration.id
            if count > 0 {
                line(
                    "apiserver_registered_watchers",
                    [("group", id.group), ("resource", id.resource), ("version", id.version)], String(count))
            }
        }
        family("noded_store_revision", "gauge", "The newest revision that every cache contains.")
        line("noded_store_revision", String(core.group.applied))
    }

    private mutating func process() {
        // Behind the command's name, which may hold anything: state is field 3 (proc_pid_stat(5)).
        if let stat = try? Files.readText("/proc/self/stat"), let end = stat.lastIndex(of: ")") {
            let fields = stat[end...].split(separator: " ").dropFirst().map(String.init)
            if fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]) {
                family("process_cpu_seconds_total", "counter", "CPU time of the process, user and system.")
                line("process_cpu_seconds_total", "\((user + system) / 100)")
                family("process_virtual_memory_bytes", "gauge", "Virtual memory.")
                line("process_virtual_memory_bytes", fields[20])
                if let pages = Int(fields[21]) {
                    family("process_resident_memory_bytes", "gauge", "Resident memory.")
                    line("process_resident_memory_bytes", String(pages * 4096))
                }
                family("process_threads", "gauge", "Threads.")
                line("process_threads", fields[17])
            }
        }
        if let files = try? Files.list("/proc/self/fd") {
            family("process_open_fds", "gauge", "Open file descriptors.")
            line("process_open_fds", String(files.count))
        }
    }
}
