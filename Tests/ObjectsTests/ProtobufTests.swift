// Bodies in protobuf: what kubectl really sends (captured from kubectl 1.37), and what is refused.

import Objects
import System
import Testing

@Suite struct ProtobufTests {
    /// `kubectl create configmap x --from-literal=a=b`
    @Test func aConfigMapAsKubectlSendsIt() throws {
        let body: [UInt8] =
            Array("k8s\0".utf8) + [10, 15, 10, 2] + Array("v1".utf8) + [18, 9] + Array("ConfigMap".utf8) + [18, 27, 10, 17]
            + [10, 1] + Array("x".utf8) + [18, 0, 26, 0, 34, 0, 42, 0, 50, 0, 56, 0, 66, 0]
            + [18, 6, 10, 1] + Array("a".utf8) + [18, 1] + Array("b".utf8) + [26, 0, 34, 0]
        #expect(
            try ProtobufDecoder.decode(body)
                == ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "x"], "data": ["a": "b"]])
    }

    /// Builds messages as Go does.
    struct Writer {
        var bytes: [UInt8] = []

        mutating func varint(_ value: UInt64) {
            var value = value
            while value > 0x7f {
                bytes.append(UInt8(value & 0x7f) | 0x80)
                value >>= 7
            }
            bytes.append(UInt8(value))
        }

        static func message(_ fields: [(Int, Any)]) -> [UInt8] {
            var writer = Writer()
            for (number, value) in fields {
                switch value {
                case let number64 as Int:
                    writer.varint(UInt64(number) << 3)
                    writer.varint(UInt64(bitPattern: Int64(number64)))
                case let text as String:
                    writer.varint(UInt64(number) << 3 | 2)
                    writer.varint(UInt64(text.utf8.count))
                    writer.bytes += Array(text.utf8)
                case let inner as [(Int, Any)]:
                    let bytes = message(inner)
                    writer.varint(UInt64(number) << 3 | 2)
                    writer.varint(UInt64(bytes.count))
                    writer.bytes += bytes
                default: fatalError("what is \(value)?")
                }
            }
            return writer.bytes
        }

        static func object(_ apiVersion: String, _ kind: String, _ fields: [(Int, Any)]) -> [UInt8] {
            let type: [(Int, Any)] = [(1, apiVersion), (2, kind)]
            return Array("k8s\0".utf8) + message([(1, type), (2, fields)])
        }
    }

    @Test func aDeploymentKeepsItsZerosThatSaySomething() throws {
        let container: [(Int, Any)] = [(1, "c"), (2, "web"), (6, [(1, "p"), (2, 0), (3, 8080)] as [(Int, Any)])]
        let volume: [(Int, Any)] = [(1, "v"), (2, [(2, [] as [(Int, Any)])] as [(Int, Any)])]
        let pod: [(Int, Any)] = [(1, volume), (2, container), (4, 0), (11, 0)]
        let template: [(Int, Any)] = [(1, [(1, "")] as [(Int, Any)]), (2, pod)]
        let rolling: [(Int, Any)] = [(1, [(1, 0), (2, 0), (3, "")] as [(Int, Any)]), (2, [(1, 1), (2, 0), (3, "25%")] as [(Int, Any)])]
        let strategy: [(Int, Any)] = [(1, ""), (2, rolling)]
        let spec: [(Int, Any)] = [(1, 0), (3, template), (4, strategy), (5, 0)]
        let metadata: [(Int, Any)] = [(1, "d"), (8, [(1, 1_795_230_245), (2, 0)] as [(Int, Any)])]
        let decoded = try ProtobufDecoder.decode(Writer.object("apps/v1", "Deployment", [(1, metadata), (2, spec)]))
        #expect(decoded.at("metadata", "creationTimestamp") == "2026-11-21T03:04:05Z")
        #expect(decoded.at("spec", "replicas") == 0)
        #expect(decoded.at("spec", "minReadySeconds") == nil)
        #expect(decoded.at("spec", "strategy") == ["rollingUpdate": ["maxUnavailable": 0, "maxSurge": "25%"]])
        #expect(
            decoded.at("spec", "template", "spec") == [
                "containers": [["name": "c", "image": "web", "ports": [["name": "p", "containerPort": 8080]]]],
                "terminationGracePeriodSeconds": 0, "volumes": [["name": "v", "emptyDir": [:]]],
            ])
    }

    @Test func quantitiesMapsOfListsAndBytes() throws {
        let hard: [(Int, Any)] = [(1, [(1, "pods"), (2, [(1, "2")] as [(Int, Any)])] as [(Int, Any)])]
        let quota = try ProtobufDecoder.decode(Writer.object("v1", "ResourceQuota", [(2, hard)]))
        #expect(quota.at("spec", "hard") == ["pods": "2"])
        let secret = try ProtobufDecoder.decode(
            Writer.object("v1", "Secret", [(2, [(1, "k"), (2, "v")] as [(Int, Any)])]))
        #expect(secret["data"] == ["k": "dg=="])
        let extra: [(Int, Any)] = [(5, [(1, "scopes"), (2, [(1, "a"), (1, "b")] as [(Int, Any)])] as [(Int, Any)]), (3, "u")]
        let review = try ProtobufDecoder.decode(
            Writer.object("authorization.k8s.io/v1", "SubjectAccessReview", [(2, extra)]))
        #expect(review.at("spec", "extra") == ["scopes": ["a", "b"]])
    }

    @Test(arguments: [
        (Array("{}".utf8), "the body does not begin with"),
        (Array("k8s\0".utf8) + [10, 200], "is cut short"),
        (Writer.object("v1", "Nothing", []), "has no protobuf form here"),
        (Writer.object("v1", "ConfigMap", [(99, "x")]), "field number 99 of core.v1.ConfigMap is not known here"),
        (Writer.object("v1", "ConfigMap", [(2, 7)]), "core.v1.ConfigMap.data has a value of a wrong type"),
    ])
    func refuses(_ body: [UInt8], _ reason: String) {
        let error = #expect(throws: ProtobufError.self) { try ProtobufDecoder.decode(body) }
        #expect(error?.description.contains(reason) == true)
    }

    @Test func zerosOfUnknownFieldsSayNothing() throws {
        let decoded = try ProtobufDecoder.decode(Writer.object("v1", "ConfigMap", [(99, 0), (98, "")]))
        #expect(decoded == ["apiVersion": "v1", "kind": "ConfigMap"])
    }
}

@Suite struct ExtremeNumberTests {
    /// Each of these once stopped the process.
    @Test func numbersAtTheEndsAreRefusedOrCapped() throws {
        #expect(Quantity("1e-9223372036854775808") == nil)
        let metadata: [(Int, Any)] = [(8, [(1, Int.min)] as [(Int, Any)])]
        let body = ProtobufTests.Writer.object("v1", "ConfigMap", [(1, metadata)])
        #expect(throws: ProtobufError.self) { try ProtobufDecoder.decode(body) }
        let now = Timestamp(seconds: 1_795_230_245)
        #expect(now.advanced(by: .seconds(Int64.max)).rfc3339 == "9999-12-31T23:59:59Z")
        #expect(now.advanced(by: .seconds(Int64.min)).rfc3339 == "0001-01-01T00:00:00Z")
    }
}
