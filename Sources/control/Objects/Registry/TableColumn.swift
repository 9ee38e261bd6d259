// A column of the Table that `kubectl get` prints. Cells are computed in Table/.

public struct TableColumn: Sendable, Hashable {
    /// "Name", "Ready"
    public let name: String
    /// OpenAPI type: string, integer, number, boolean, date
    public let type: String
    /// "name" for the column that holds the object's name, else mostly ""
    public let format: String
    /// 0 shows always, 1 with -o wide
    public let priority: Int
    public let description: String

    public init(name: String, type: String, format: String = "", priority: Int = 0, description: String = "") {
        self.name = name
        self.type = type
        self.format = format
        self.priority = priority
        self.description = description
    }

    /// Of kinds without a printer of their own.
    static let plain = [
        TableColumn(name: "Name", type: "string", format: "name"), TableColumn(name: "Created At", type: "date"),
    ]

    init(declaration json: JSON) {
        self.init(
            name: json["name"]?.string ?? "", type: json["type"]?.string ?? "string",
            format: json["format"]?.string ?? "", priority: Int(json["priority"]?.int ?? 0))
    }

    /// As an entry of Table.columnDefinitions.
    public var json: JSON {
        [
            "name": .string(name), "type": .string(type), "format": .string(format),
            "description": .string(description), "priority": .int(Int64(priority)),
        ]
    }
}
