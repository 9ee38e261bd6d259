// Claims and volumes get a finalizer, so that deleting one that is in use waits; the protection controllers take it
// off when nobody uses it.

internal import Objects

struct StorageObjectInUseProtection: AdmissionStep {
    static let finalizers: [ResourceID: String] = [
        .persistentVolumeClaims: "kubernetes.io/pvc-protection", .persistentVolumes: "kubernetes.io/pv-protection",
    ]

    func concerns(_ site: AdmissionSite) -> Bool {
        StorageObjectInUseProtection.finalizers.keys.contains { site.creates($0) }
    }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard let finalizer = StorageObjectInUseProtection.finalizers[request.declaration.id] else { return }
        let present = request.object.at("metadata", "finalizers")?.array ?? []
        guard !present.contains(.string(finalizer)) else { return }
        request.object.set("metadata", "finalizers", to: .array(present + [.string(finalizer)]))
    }
}
