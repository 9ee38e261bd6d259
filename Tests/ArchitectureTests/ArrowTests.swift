// The arrows of docs/architecture.md, enforced: an import that points up fails here with the reason.

import Testing

@Suite struct ArrowTests {
    /// What a layer may import, besides its own modules. Order of reading: bottom up.
    static let layers: [(layer: String, mayImport: Set<String>, reason: String)] = [
        ("system", [], "system/ is the bottom: everything stands on it, it stands on nothing"),
        ("kernel", ["system"], "kernel/ knows Linux, not Kubernetes"),
        ("transport", ["system"], "transport/ is the quarantine for NIO and BoringSSL and knows no API"),
        ("control", ["system", "transport"], "control/ never touches the kernel: it must run where no node is"),
        ("node", ["system", "kernel", "transport", "control"], "node/ stands on kernel/ and reads API objects"),
        ("noded", ["system", "kernel", "transport", "control", "node"], "the command is the only place where all meets"),
    ]

    /// Of control/, what node/ may use; of transport/, what stays free of NIO.
    static let nodeMayUse: Set<String> = ["Objects", "Client"]
    static let plainTransport: Set<String> = ["HTTP", "PKI", "SPDY"]

    static let files = Tree.swiftFiles(below: "Sources")

    static let layerOf: [String: String] = {
        var layers: [String: String] = [:]
        for file in files where file.layer != "noded" { layers[file.module] = file.layer }
        for (module, layer) in [
            ("CKernel", "kernel"), ("CDeclarations", "control"), ("CSupervisor", "node"), ("CSeccomp", "kernel"),
            ("CCap", "kernel"), ("CNetlink", "kernel"), ("CNftables", "kernel"),
        ] { layers[module] = layer }
        return layers
    }()

    @Test func theTreeIsThere() {
        #expect(Self.files.count > 40, "the source tree was not found below \(Tree.root)")
    }

    @Test func noArrowPointsUp() {
        for file in Self.files {
            guard let rule = Self.layers.first(where: { $0.layer == file.layer }) else {
                Issue.record("\(file.path): folder \(file.layer) is no layer of docs/architecture.md")
                continue
            }
            for name in file.imports {
                guard let target = Self.layerOf[name], target != file.layer else { continue }
                #expect(rule.mayImport.contains(target), "\(file.path) imports \(name) of \(target)/: \(rule.reason)")
                if file.layer == "node", target == "control" {
                    #expect(
                        Self.nodeMayUse.contains(name),
                        "\(file.path) imports \(name): a node uses Objects and Client, nothing else of control/")
                }
                if file.layer != "noded", target == "transport" {
                    #expect(
                        Self.plainTransport.contains(name),
                        "\(file.path) imports \(name): only the command may pull in NIO")
                }
            }
        }
    }

    @Test func onlyTransportKnowsNIO() {
        let quarantined: Set<String> = [
            "NIOCore", "NIOPosix", "NIOHTTP1", "NIOHTTP2", "NIOTLS", "NIOSSL", "NIOWebSocket", "X509", "Crypto", "SwiftASN1",
        ]
        for file in Self.files where file.layer != "transport" {
            let found = quarantined.intersection(file.imports)
            #expect(found.isEmpty, "\(file.path) imports \(found.sorted()): transport/ is the quarantine for these")
        }
    }

    @Test func noFullFoundation() {
        for file in Self.files {
            #expect(
                !file.imports.contains("Foundation"),
                "\(file.path) imports Foundation: it weighs 44 MB of ICU data; FoundationEssentials has most of it")
        }
    }

    @Test func withinControlTheOrderHolds() {
        let order = ["CDeclarations", "Objects", "Store", "Client", "Reconcile", "APIServer", "Scheduler", "Controllers"]
        let above: [String: Set<String>] = [
            "Objects": Set(order).subtracting(["CDeclarations", "Objects"]),
            "Store": ["Client", "APIServer", "Reconcile", "Scheduler", "Controllers"],
            "Client": ["Store", "APIServer", "Reconcile", "Scheduler", "Controllers"],
            "Reconcile": Set(order).subtracting(["Reconcile"]),
            "APIServer": ["Reconcile", "Scheduler", "Controllers"],
            "Scheduler": ["Store", "APIServer", "Controllers"],
            "Controllers": ["Store", "APIServer", "Scheduler"],
        ]
        for file in Self.files where file.layer == "control" {
            let wrong = (above[file.module] ?? []).intersection(file.imports)
            #expect(wrong.isEmpty, "\(file.path) imports \(wrong.sorted()): system <- Objects <- Store, Client <- the rest")
        }
    }

    @Test func controllersDoNotKnowTheServer() {
        for file in Self.files where file.module == "Controllers" || file.module == "Scheduler" {
            #expect(!file.imports.contains("HTTP"), "\(file.path): controllers speak to the API through Client only")
        }
    }
}
