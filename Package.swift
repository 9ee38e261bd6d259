// swift-tools-version: 6.2
//
// One package, many small modules. Folder names below Sources/ are the architecture (docs/architecture.md);
// the arrows between them are checked by Tests/ArchitectureTests.
//
// On a small machine build and test one corner only: `NODED_ONLY=Store,StoreTests swift test` keeps just the
// named targets and what they depend on.

import PackageDescription

/// scripts/fuzz: instrumented for libFuzzer. Not by `swift build --sanitize=fuzzer`, which would give the supervisor
/// (embedded Swift, part of Containers) its runtime and `main`, too.
let fuzzes = Context.environment["NODED_FUZZ"] != nil

let strict: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ] + (fuzzes ? [.unsafeFlags(["-sanitize=fuzzer"])] : [])

/// Embedded Swift: no runtime, no existentials, no Foundation; one small static program per pod.
let embedded: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableExperimentalFeature("Embedded"),
    .unsafeFlags(["-wmo", "-Osize", "-no-static-stdlib"]),
]

extension Target.Dependency {
    static let nio = product(name: "NIOCore", package: "swift-nio")
    static let posix = product(name: "NIOPosix", package: "swift-nio")
    static let http1 = product(name: "NIOHTTP1", package: "swift-nio")
    static let embedded = product(name: "NIOEmbedded", package: "swift-nio")
    static let nioTLS = product(name: "NIOTLS", package: "swift-nio")
    static let http2 = product(name: "NIOHTTP2", package: "swift-nio-http2")
    static let webSocket = product(name: "NIOWebSocket", package: "swift-nio")
    static let tls = product(name: "NIOSSL", package: "swift-nio-ssl")
    static let x509 = product(name: "X509", package: "swift-certificates")
    static let asn1 = product(name: "SwiftASN1", package: "swift-asn1")
    static let crypto = product(name: "Crypto", package: "swift-crypto")
    static let logging = product(name: "Logging", package: "swift-log")
    static let arguments = product(name: "ArgumentParser", package: "swift-argument-parser")
}

func module(_ name: String, in folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(folder)/\(name)", swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func library(_ name: String, pkgConfig: String? = nil, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/system/Libraries/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

var targets: [Target] = [
    // Debian's C libraries, as module maps.
    library("CSeccomp", pkgConfig: "libseccomp", apt: "libseccomp-dev"),
    library("CCap", pkgConfig: "libcap", apt: "libcap-dev"),
    library("CNetlink", pkgConfig: "libnl-route-3.0", apt: "libnl-route-3-dev"),
    library("CNftables", pkgConfig: "libnftables", apt: "libnftables-dev"),
    library("CSQLite", pkgConfig: "sqlite3", apt: "libsqlite3-dev"),
    library("CYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev"),
    library("CInflate", pkgConfig: "libisal", apt: "libisal-dev"),

    // system: importable by all.
    module("System", in: "system", [.logging]),

    // kernel: knows Linux, not Kubernetes.
    .target(name: "CKernel", path: "Sources/kernel/CKernel"),
    module("Kernel", in: "kernel", ["System", "CKernel", "CCap"]),
    module("Cgroups", in: "kernel", ["System", "Kernel"]),
    module("Seccomp", in: "kernel", ["System", "Kernel", "CSeccomp"]),
    module("Netlink", in: "kernel", ["System", "Kernel", "CNetlink"]),
    module("Nftables", in: "kernel", ["System", "CNftables"]),

    // transport: the quarantine for NIO and BoringSSL. HTTP holds plain values and protocols only.
    module("HTTP", in: "transport", ["System"]),
    module("SPDY", in: "transport", ["System", "CInflate"]),
    module("PKI", in: "transport", ["System", .x509, .asn1, .crypto]),
    module("Transport", in: "transport", [
        "System", "HTTP", "PKI", "CInflate", .nio, .posix, .http1, .http2, .webSocket, .tls, .nioTLS, .logging,
    ]),

    // control: the control plane.
    .target(name: "CDeclarations", path: "Sources/control/CDeclarations", exclude: ["declarations", "roles"]),
    module("Objects", in: "control", ["System", "CDeclarations", "CYAML"]),
    module("Store", in: "control", ["System", "CSQLite", "CInflate", .logging]),
    module("Client", in: "control", ["System", "Objects", .logging]),
    module("APIServer", in: "control", ["System", "Objects", "Store", "Client", "HTTP", "SPDY", .logging]),
    module("Reconcile", in: "control", ["System", .logging]),
    module("Scheduler", in: "control", ["System", "Objects", "Client", "Reconcile", .logging]),
    module("Controllers", in: "control", ["System", "Objects", "Client", "Reconcile", .logging]),

    // node: what a node does with the kernel.
    .target(name: "CSupervisor", path: "Sources/node/CSupervisor"),
    module("SupervisorProtocol", in: "node"),
    .target(name: "SupervisorProtocolE", path: "Sources/node/SupervisorProtocolE", swiftSettings: embedded),
    .executableTarget(
        name: "Supervisor", dependencies: ["CSupervisor", "SupervisorProtocolE"], path: "Sources/node/Supervisor",
        swiftSettings: embedded,
        linkerSettings: [
            .unsafeFlags(["-Xclang-linker", "-static", "-Xlinker", "-s", "-Xlinker", "--gc-sections"])
        ]),
    .plugin(name: "EmbedSupervisor", capability: .buildTool(), dependencies: ["Supervisor"]),
    .target(
        name: "Containers",
        dependencies: ["System", "Kernel", "Cgroups", "Seccomp", "SupervisorProtocol", .logging],
        path: "Sources/node/Containers", exclude: [], swiftSettings: strict, plugins: ["EmbedSupervisor"]),
    module("Images", in: "node", ["System", "Kernel", "Objects", "PKI", "CInflate", .logging]),
    module("PodNetwork", in: "node", ["System", "Kernel", "Netlink", "Nftables", .logging]),
    module("ServiceProxy", in: "node", ["System", "Kernel", "Netlink", "Nftables", "Objects", "Client", .logging]),
    module("ClusterDNS", in: "node", ["System", "Kernel", "Objects", "Client", .logging]),
    module("Kubelet", in: "node", [
        "System", "Kernel", "Cgroups", "Containers", "PodNetwork", "Objects", "Client", "HTTP", .logging,
    ]),

    .executableTarget(
        name: "noded",
        dependencies: [
            "System", "Kernel", "Cgroups", "Seccomp", "Netlink", "Nftables", "HTTP", "PKI", "Transport",
            "Objects", "Store", "Client", "APIServer", "Scheduler", "Controllers",
            "Containers", "Images", "PodNetwork", "ServiceProxy", "ClusterDNS", "Kubelet", .arguments, .logging,
        ],
        path: "Sources/noded", swiftSettings: strict,
        // Relative relocations packed (DT_RELR, glibc 2.36): megabytes of the static binary's file.
        linkerSettings: [
            .unsafeFlags(
                ["-use-ld=lld", "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs"], .when(configuration: .release))
        ]),

    .target(
        name: "TestSupport", dependencies: ["System", "Kernel"], path: "Tests/Support/TestSupport",
        swiftSettings: strict),
    tests("ArchitectureTests"),
    tests("SystemTests", ["System", "TestSupport"]),
    tests("KernelTests", ["System", "Kernel", "Cgroups", "Seccomp", "CKernel", "TestSupport"]),
    tests("NetlinkTests", ["System", "Kernel", "Netlink", "Nftables"]),
    tests("TransportTests", ["System", "HTTP", "PKI", "Transport", .nio, .embedded, .http1, .logging]),
    tests("ObjectsTests", ["System", "Objects"]),
    .target(name: "CRecordingVFS", dependencies: ["CSQLite"], path: "Tests/Support/CRecordingVFS"),
    tests("StoreTests", ["System", "Store", "CSQLite", "CRecordingVFS", .logging]),
    tests("ClientTests", ["System", "Objects", "Client", .logging]),
    tests("APIServerTests", ["System", "Objects", "Store", "Client", "HTTP", "SPDY", "APIServer"]),
    tests("ControllersTests", [
        "System", "Objects", "Store", "Client", "HTTP", "APIServer", "Reconcile", "Scheduler", "Controllers", .logging,
    ]),
    .executableTarget(
        name: "containers-controller", dependencies: ["System", "Cgroups", "Containers", .logging],
        path: "Tests/Support/ContainersController", swiftSettings: strict),
    tests("ContainersTests", [
        "System", "Kernel", "Cgroups", "Seccomp", "Containers", "SupervisorProtocol", "containers-controller", .logging,
    ]),
    tests("ImagesTests", ["System", "Kernel", "CKernel", "PKI", "Images", "CInflate", "TestSupport", .logging]),
    tests("PodNetworkTests", ["System", "Kernel", "Netlink", "Nftables", "PodNetwork", "TestSupport", .logging]),
    tests("ServiceProxyTests", [
        "System", "Kernel", "Netlink", "Nftables", "Objects", "Client", "PodNetwork", "ServiceProxy", "TestSupport",
        .logging,
    ]),
    .executableTarget(
        name: "dns-resolver-test", dependencies: ["ClusterDNS"], path: "Tests/Support/DNSResolver", swiftSettings: strict),
    tests("ClusterDNSTests", [
        "System", "Kernel", "Objects", "Client", "ClusterDNS", "dns-resolver-test", .logging,
    ]),
    tests("KubeletTests", [
        "System", "Kernel", "Cgroups", "Objects", "Store", "Client", "APIServer", "Containers", "PodNetwork", "HTTP",
        "Kubelet", .logging,
    ]),
    .target(
        name: "AcceptedObjects",
        dependencies: ["System", "Objects", "Reconcile", "Scheduler", "Controllers", "Cgroups", "Kubelet"],
        path: "Tests/Support/AcceptedObjects", swiftSettings: strict),
    tests("AcceptedObjectsTests", ["AcceptedObjects"]),
]

// Fuzz targets need libFuzzer, which only scripts/fuzz builds with.
if fuzzes {
    targets += [
        .executableTarget(
            name: "fuzz",
            // Not Transport: NIO has its own fuzzers, and its BoringSSL would be the second (Images hash with the first).
            dependencies: [
                "System", "Kernel", "Objects", "Store", "Client", "HTTP", "APIServer", "AcceptedObjects", "ClusterDNS",
                "Images", "SupervisorProtocol", .logging,
            ],
            path: "Tests/Fuzz/Sources/Fuzz", swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])])
    ]
}

/// The targets named in NODED_ONLY and everything they depend on; all of them when it is unset.
func selected(_ all: [Target]) -> [Target] {
    guard let only = Context.environment["NODED_ONLY"] else { return all }
    var wanted: Set<String> = []
    func add(_ name: String) {
        guard let target = all.first(where: { $0.name == name }), wanted.insert(name).inserted else { return }
        for dependency in target.dependencies {
            switch dependency {
            case .byNameItem(let name, _), .targetItem(let name, _): add(name)
            default: break
            }
        }
        for usage in target.plugins ?? [] {
            if case .plugin(let name, _) = usage { add(name) }
        }
    }
    only.split(separator: ",").forEach { add(String($0)) }
    return all.filter { wanted.contains($0.name) }
}

let package = Package(
    name: "noded",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    ],
    targets: selected(targets)
)
