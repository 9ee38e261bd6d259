// A Scale as `kubectl get --subresource=scale` prints it (autoscaling/v1): a subresource,
// so it has no declaration of its own.

public import System

public enum ScaleTable {
    /// Columns of the published list of printers.
    public static let columns: [TableColumn] = [
        TableColumn(name: "Name", type: "string"), TableColumn(name: "Desired", type: "integer"),
        TableColumn(name: "Available", type: "integer"), TableColumn(name: "Age", type: "string"),
    ]

    public static func cells(_ scale: JSON, now: Timestamp) -> [JSON] {
        [
            TableRow.name(scale), TableRow.number(scale.at("spec", "replicas")),
            TableRow.number(scale.at("status", "replicas")), TableRow.age(scale, now),
        ]
    }
}
