// Objects and changes to them: patches, applied configurations, protobuf, every kind's rules.

import Objects
import System

@testable import APIServer
@testable import Objects

extension Targets {
    private static let schemas: [Schema] = [ResourceID.pods, .deployments, .services, .configMaps].compactMap {
        Registry.standard.find($0)?.schema
    }

    /// An object that a request may have brought, and what it is asked to become, with a NUL between them.
    private static func pair(_ bytes: [UInt8]) -> (JSON, JSON)? {
        let parts = bytes.split(separator: 0, maxSplits: 1)
        guard parts.count == 2, let object = try? JSON.parse(Array(parts[0]), limits: .body),
            let change = try? JSON.parse(Array(parts[1]), limits: .body)
        else { return nil }
        return (object, change)
    }

    /// What comes out of a patch can be sent, and so stored and read again.
    private static func holdParses(_ value: JSON, _ what: String) {
        guard let again = try? JSON.parse(value.encode(), limits: .body) else {
            fatalError("broken: the result of a \(what) does not parse within a body's limits")
        }
        hold(again.isSame(as: value), "the result of a \(what) is not what its text says")
    }

    static func patch(_ bytes: [UInt8]) {
        guard let (object, patch) = pair(bytes) else { return }
        let merged = MergePatch.apply(patch, to: object)
        holdParses(merged, "merge patch")
        if patch.object != nil {
            hold(MergePatch.apply(patch, to: merged) == merged, "a merge patch does more the second time")
        }
        if let patched = try? JSONPatch.apply(patch, to: object) { holdParses(patched, "JSON patch") }
        for schema in schemas {
            guard let patched = try? StrategicMergePatch.apply(patch, to: object, schema: schema.root) else { continue }
            holdParses(patched, "strategic merge patch")
        }
    }

    /// Applied twice by the same manager is applied once; what it owns is what it said.
    static func apply(_ bytes: [UInt8]) {
        guard let (live, config) = pair(bytes), live.object != nil, config.object != nil else { return }
        for schema in schemas {
            let forms = ObjectForms(apiVersion: "v1", root: schema.root)
            let owner = FieldOwner(manager: "one", operation: .apply, apiVersion: "v1", subresource: "")
            guard
                let applied = try? ServerSideApply.apply(
                    config, to: live, forms, by: owner, force: true, time: "2026-01-01T00:00:00Z")
            else { continue }
            guard let read = try? JSON.parse(applied.encode()) else { fatalError("broken: what was applied does not parse") }
            hold(read.isSame(as: applied), "what was applied is not what its text says")
            if let again = try? ServerSideApply.apply(
                config, to: applied, forms, by: owner, force: false, time: "2026-01-01T00:00:01Z")
            {
                hold(again.withoutManagedFields == applied.withoutManagedFields, "applied twice is not applied once")
            }
        }
    }

    static func protobuf(_ bytes: [UInt8]) {
        guard let value = try? ProtobufDecoder.decode(bytes) else { return }
        holdParses(value, "protobuf body")
    }

    /// A byte for the kind, then JSON: decode, default, prepare, validate, columns, labels, quota.
    static func object(_ bytes: [UInt8]) {
        guard let first = bytes.first, let body = try? JSON.parse(Array(bytes.dropFirst()), limits: .body) else { return }
        let all = Registry.standard.declarations
        let declaration = all[Int(first) % all.count]
        guard var decoded = try? declaration.decode(body, validation: .ignore) else { return }
        declaration.prepareForCreate(&decoded.object, uid: "u", now: Timestamp(seconds: 0, nanoseconds: 0))
        let errors = declaration.validateCreate(decoded.object)
        _ = APIStatus.invalid(declaration.gvk, "x", errors).json.encode()
        _ = ObjectViews(declaration).table([decoded.object], metadata: [:], include: .metadata).encode()
        var changed = decoded.object
        declaration.prepareForUpdate(&changed, old: decoded.object)
        _ = declaration.validateUpdate(changed, old: decoded.object)
        let forms = ObjectForms(apiVersion: declaration.id.apiVersion, root: declaration.schema.root)
        let owner = FieldOwner(manager: "m", operation: .update, apiVersion: declaration.id.apiVersion, subresource: "")
        let managed = ManagedFields.created(decoded.object, forms, by: owner, time: "2026-01-01T00:00:00Z")
        changed.set("metadata", "managedFields", to: managed.json)
        hold((try? JSON.parse(changed.encode())) != nil, "an object with its owners does not parse")
    }
}
