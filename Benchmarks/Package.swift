// swift-tools-version: 6.2
//
// The benchmarks are a package of their own, so that noded's build and its dependencies stay out of theirs: this one
// needs Glibc and a few programs (README.md), and builds in seconds.

import PackageDescription

let package = Package(
    name: "Benchmarks",
    targets: [
        .target(name: "CBench"),
        .executableTarget(
            name: "bench",
            dependencies: ["CBench"],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("InternalImportsByDefault"),
            ]),
    ])
