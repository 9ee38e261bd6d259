// The API server's own rules: what becomes of a body that is created, and of a status that is written to it.

import Objects
import System

extension Findings {
    /// The object as it is stored: with its defaults, valid. nil when it is refused.
    mutating func create(_ resource: ResourceID, _ name: String, _ fields: JSON) -> JSON? {
        guard let declaration = Registry.standard.find(resource) else {
            broken.append("no declaration of \(resource.groupResource)")
            return nil
        }
        var body = fields
        body["apiVersion"] = .string(declaration.gvk.apiVersion)
        body["kind"] = .string(declaration.gvk.kind)
        body.set("metadata", "name", to: .string(name))
        if declaration.isNamespaced { body.set("metadata", "namespace", to: "default") }
        guard var decoded = try? declaration.decode(body) else { return nil }
        declaration.prepareForCreate(&decoded.object, uid: name, now: Timestamp(seconds: 0))
        guard declaration.validateCreate(decoded.object).isEmpty else { return nil }
        accepted[resource.groupResource, default: 0] += 1
        return decoded.object
    }

    /// The object with a status; without, where it is refused.
    mutating func setStatus(_ resource: ResourceID, _ object: JSON, _ status: JSON) -> JSON {
        guard let declaration = Registry.standard.find(resource) else { return object }
        var body = object
        body["status"] = status
        let target = WriteTarget.subresource("status")
        guard var decoded = try? declaration.decode(body) else { return object }
        declaration.prepareForUpdate(&decoded.object, old: object, target: target)
        guard declaration.validateUpdate(decoded.object, old: object, target: target).isEmpty else { return object }
        accepted["\(resource.groupResource)/status", default: 0] += 1
        return decoded.object
    }
}
