// swift-tools-version: 6.2
//
// The benchmarks are a package of their own, so that noded's build and its dependencies stay out of theirs. `bench`
// needs Glibc and a few programs (README.md). `wire` is the other end of the API's measurements: bare NIO and NIOSSL,
// without which nothing could be compared with them.

import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "Benchmarks",
    products: [.library(name: "WrkIdentity", type: .dynamic, targets: ["CWrkIdentity"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    ],
    targets: [
        .target(name: "CBench"),
        .target(name: "CWrkIdentity"),
        .executableTarget(name: "bench", dependencies: ["CBench"], swiftSettings: strict),
        .executableTarget(
            name: "wire",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict),
    ])
