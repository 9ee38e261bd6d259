// The volumes of a pod: the kinds the node mounts itself, and the sources of projected ones.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

/// core/v1 Volume; exactly one source is set.
public struct Volume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var emptyDir: EmptyDirVolume? { get { view("emptyDir") } set { put("emptyDir", newValue) } }
    public var configMap: ConfigMapVolume? { get { view("configMap") } set { put("configMap", newValue) } }
    public var secret: SecretVolume? { get { view("secret") } set { put("secret", newValue) } }
    public var hostPath: HostPathVolume? { get { view("hostPath") } set { put("hostPath", newValue) } }
    public var projected: ProjectedVolume? { get { view("projected") } set { put("projected", newValue) } }
    public var downwardAPI: DownwardAPIVolume? { get { view("downwardAPI") } set { put("downwardAPI", newValue) } }
    public var persistentVolumeClaim: PersistentVolumeClaimVolume? {
        get { view("persistentVolumeClaim") }
        set { put("persistentVolumeClaim", newValue) }
    }

    /// The name of the source: `emptyDir`, `configMap`, ...; empty when none is set.
    public var source: String { json.object?.keys.first { $0 != "name" } ?? "" }
}

/// core/v1 EmptyDirVolumeSource.
public struct EmptyDirVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    /// Empty for disk, Memory for tmpfs.
    public var medium: String { get { text("medium") } set { put("medium", newValue) } }

    public var sizeLimit: Quantity? {
        get { Quantity(json["sizeLimit"]) }
        set { json["sizeLimit"] = newValue.map { .string($0.description) } }
    }
}

/// core/v1 ConfigMapVolumeSource, also as a projection.
public struct ConfigMapVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var items: [KeyToPath] { get { views("items") } set { put("items", newValue) } }
    public var optional: Bool { get { flag("optional") } set { put("optional", newValue) } }
    /// Permission bits.
    public var defaultMode: Int? { get { integer("defaultMode") } set { put("defaultMode", newValue) } }
}

/// core/v1 SecretVolumeSource, also as a projection (which says `name`).
public struct SecretVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var secretName: String { get { text("secretName") } set { put("secretName", newValue) } }
    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var items: [KeyToPath] { get { views("items") } set { put("items", newValue) } }
    public var optional: Bool { get { flag("optional") } set { put("optional", newValue) } }
    /// Permission bits.
    public var defaultMode: Int? { get { integer("defaultMode") } set { put("defaultMode", newValue) } }
}

/// Where a key becomes a file.
public struct KeyToPath: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var key: String { get { text("key") } set { put("key", newValue) } }
    public var path: String { get { text("path") } set { put("path", newValue) } }
    /// Permission bits.
    public var mode: Int? { get { integer("mode") } set { put("mode", newValue) } }
}

/// core/v1 HostPathVolumeSource.
public struct HostPathVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var path: String { get { text("path") } set { put("path", newValue) } }
    /// Empty, DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice or BlockDevice.
    public var type: String { get { text("type") } set { put("type", newValue) } }
}

/// core/v1 ProjectedVolumeSource.
public struct ProjectedVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var sources: [VolumeProjection] { get { views("sources") } set { put("sources", newValue) } }
    /// Permission bits.
    public var defaultMode: Int? { get { integer("defaultMode") } set { put("defaultMode", newValue) } }
}

/// One source of a projected volume.
public struct VolumeProjection: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var configMap: ConfigMapVolume? { get { view("configMap") } set { put("configMap", newValue) } }
    public var secret: SecretVolume? { get { view("secret") } set { put("secret", newValue) } }
    public var downwardAPI: DownwardAPIVolume? { get { view("downwardAPI") } set { put("downwardAPI", newValue) } }
    public var serviceAccountToken: ServiceAccountTokenProjection? {
        get { view("serviceAccountToken") }
        set { put("serviceAccountToken", newValue) }
    }
}

/// core/v1 ServiceAccountTokenProjection.
public struct ServiceAccountTokenProjection: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var audience: String { get { text("audience") } set { put("audience", newValue) } }
    public var expirationSeconds: Int? {
        get { integer("expirationSeconds") }
        set { put("expirationSeconds", newValue) }
    }
    public var path: String { get { text("path") } set { put("path", newValue) } }
}

/// core/v1 DownwardAPIVolumeSource.
public struct DownwardAPIVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var items: [DownwardAPIFile] { get { views("items") } set { put("items", newValue) } }
    /// Permission bits.
    public var defaultMode: Int? { get { integer("defaultMode") } set { put("defaultMode", newValue) } }
}

/// core/v1 DownwardAPIVolumeFile.
public struct DownwardAPIFile: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var path: String { get { text("path") } set { put("path", newValue) } }
    public var fieldRef: ObjectFieldSelector? { get { view("fieldRef") } set { put("fieldRef", newValue) } }
    public var resourceFieldRef: ResourceFieldSelector? {
        get { view("resourceFieldRef") }
        set { put("resourceFieldRef", newValue) }
    }
    /// Permission bits.
    public var mode: Int? { get { integer("mode") } set { put("mode", newValue) } }
}

/// core/v1 PersistentVolumeClaimVolumeSource.
public struct PersistentVolumeClaimVolume: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var claimName: String { get { text("claimName") } set { put("claimName", newValue) } }
    public var readOnly: Bool { get { flag("readOnly") } set { put("readOnly", newValue) } }
}
