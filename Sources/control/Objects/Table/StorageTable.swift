// Cells of PersistentVolumes, their claims, and storage.k8s.io/v1.

internal import System

enum StorageTable {
    static let printers: [String: TableRow.Printer] = [
        "PersistentVolume": { volume($0, $1) },
        "PersistentVolumeClaim": { claim($0, $1) },
        "StorageClass.storage.k8s.io": { storageClass($0, $1) },
        "VolumeAttributesClass.storage.k8s.io": {
            [className($0), TableRow.text($0["driverName"]), TableRow.age($0, $1)]
        },
        "VolumeAttachment.storage.k8s.io": { attachment($0, $1) },
        "CSIDriver.storage.k8s.io": { driver($0, $1) },
        "CSINode.storage.k8s.io": {
            [TableRow.name($0), TableRow.length($0.at("spec", "drivers")), TableRow.age($0, $1)]
        },
        "CSIStorageCapacity.storage.k8s.io": { object, _ in
            [
                TableRow.name(object), TableRow.text(object["storageClassName"]),
                .string((Quantity(object["capacity"]) ?? Quantity(0)).description),
            ]
        },
    ]

    /// Terminating, once it is being deleted.
    private static func phase(_ object: JSON) -> JSON {
        object.at("metadata", "deletionTimestamp") != nil
            ? "Terminating" : TableRow.text(object.at("status", "phase"))
    }

    private static let modes = [
        ("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP"),
    ]

    private static func accessModes(_ list: JSON?) -> JSON {
        let given = list?.strings ?? []
        return .string(modes.filter { given.contains($0.0) }.map(\.1).joined(separator: ","))
    }

    /// The old annotation goes before the field.
    private static func storageClass(of object: JSON) -> JSON {
        TableRow.text(
            object.at("metadata", "annotations", "volume.beta.kubernetes.io/storage-class")
                ?? object.at("spec", "storageClassName"))
    }

    private static func size(_ quantity: JSON?) -> JSON { .string((Quantity(quantity) ?? Quantity(0)).description) }

    private static func volume(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let spec = object["spec"]
        var claim = ""
        if let reference = spec?["claimRef"], reference.object != nil {
            claim = "\(reference["namespace"]?.string ?? "")/\(reference["name"]?.string ?? "")"
        }
        return [
            TableRow.name(object), size(spec?.at("capacity", "storage")), accessModes(spec?["accessModes"]),
            TableRow.text(spec?["persistentVolumeReclaimPolicy"]), phase(object), .string(claim),
            storageClass(of: object), TableRow.text(spec?["volumeAttributesClassName"], or: "<unset>"),
            TableRow.text(object.at("status", "reason")), TableRow.age(object, now),
            TableRow.text(spec?["volumeMode"], or: "<unset>"),
        ]
    }

    private static func claim(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let spec = object["spec"]
        let isBound = !(spec?["volumeName"]?.string ?? "").isEmpty
        return [
            TableRow.name(object), phase(object), TableRow.text(spec?["volumeName"]),
            isBound ? size(object.at("status", "capacity", "storage")) : "",
            isBound ? accessModes(object.at("status", "accessModes")) : "", storageClass(of: object),
            TableRow.text(spec?["volumeAttributesClassName"], or: "<unset>"), TableRow.age(object, now),
            TableRow.text(spec?["volumeMode"], or: "<unset>"),
        ]
    }

    /// Marked when it is the default one.
    private static func className(_ object: JSON) -> JSON {
        let annotations = object.at("metadata", "annotations")
        let isDefault = ["storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"].contains {
            annotations?["\($0)/is-default-class"] == "true"
        }
        return .string((object.at("metadata", "name")?.string ?? "") + (isDefault ? " (default)" : ""))
    }

    private static func storageClass(_ object: JSON, _ now: Timestamp) -> [JSON] {
        [
            className(object), TableRow.text(object["provisioner"]),
            TableRow.text(object["reclaimPolicy"], or: "Delete"),
            TableRow.text(object["volumeBindingMode"], or: "Immediate"),
            .bool(object["allowVolumeExpansion"]?.bool ?? false), TableRow.age(object, now),
        ]
    }

    private static func attachment(_ object: JSON, _ now: Timestamp) -> [JSON] {
        [
            TableRow.name(object), TableRow.text(object.at("spec", "attacher")),
            TableRow.text(object.at("spec", "source", "persistentVolumeName")),
            TableRow.text(object.at("spec", "nodeName")), .bool(object.at("status", "attached")?.bool ?? false),
            TableRow.age(object, now),
        ]
    }

    private static func driver(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let spec = object["spec"]
        let audiences = (spec?["tokenRequests"]?.array ?? []).map { $0["audience"]?.string ?? "" }
        let modes = spec?["volumeLifecycleModes"]?.strings ?? []
        return [
            TableRow.name(object), .bool(spec?["attachRequired"]?.bool ?? true),
            .bool(spec?["podInfoOnMount"]?.bool ?? false), .bool(spec?["storageCapacity"]?.bool ?? false),
            .string(audiences.isEmpty ? "<unset>" : audiences.joined(separator: ",")),
            .bool(spec?["requiresRepublish"]?.bool ?? false), TableRow.orNone(modes.joined(separator: ",")),
            TableRow.age(object, now),
        ]
    }
}
