using System.Collections.Immutable;
using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace KlineOrleans.InProcess.Tests;

/// <summary>A public type as its assembly's metadata describes it, in words that do not depend on the assembly.</summary>
/// <param name="Kind">As in <c>abstract class</c>, with the attribute targets where it is an attribute.</param>
/// <param name="Members">Public and protected methods (accessors and constructors too) and fields, with parameter names.</param>
internal sealed record ApiType(string Name, string Kind, string? Base, ImmutableArray<string> Interfaces, ImmutableHashSet<string> Members);

/// <summary>Reads the public API of an assembly file without loading it.</summary>
internal static class OrleansApi
{
    internal static IReadOnlyList<ApiType> Read(string path)
    {
        using var stream = File.OpenRead(path);
        using var pe = new PEReader(stream);
        var reader = pe.GetMetadataReader();
        return [.. reader.TypeDefinitions.Select(reader.GetTypeDefinition).Where(t => IsPublic(reader, t)).Select(t => Read(reader, t))];
    }

    private static bool IsPublic(MetadataReader reader, TypeDefinition type) => (type.Attributes & TypeAttributes.VisibilityMask) switch
    {
        TypeAttributes.Public => true,
        TypeAttributes.NestedPublic => IsPublic(reader, reader.GetTypeDefinition(type.GetDeclaringType())),
        _ => false,
    };

    private static ApiType Read(MetadataReader reader, TypeDefinition type)
    {
        var names = new Names(reader);
        var baseName = names.Of(type.BaseType);
        var interfaces = type.GetInterfaceImplementations().Select(i => names.Of(reader.GetInterfaceImplementation(i).Interface)!).ToImmutableArray();
        var isInterface = type.Attributes.HasFlag(TypeAttributes.Interface);
        var kind = (isInterface, baseName) switch
        {
            (true, _) => "interface",
            (_, "System.Enum") => "enum",
            (_, "System.ValueType") => "struct",
            _ => (type.Attributes.HasFlag(TypeAttributes.Abstract), type.Attributes.HasFlag(TypeAttributes.Sealed)) switch
            {
                (true, true) => "static class",
                (true, false) => "abstract class",
                (false, true) => "sealed class",
                _ => "class",
            },
        };
        var members = type.GetMethods().Select(reader.GetMethodDefinition).Select(m => Describe(reader, names, m))
            .Concat(type.GetFields().Select(reader.GetFieldDefinition).Select(f => Describe(reader, names, f)))
            .OfType<string>()
            .ToImmutableHashSet(StringComparer.Ordinal);
        var constraints = type.GetGenericParameters().Select(p => Describe(reader, names, p));
        return new ApiType(names.Of(type), $"{kind}{UsageOf(reader, names, type)}{string.Concat(constraints)}", baseName, interfaces, members);
    }

    private static string? Describe(MetadataReader reader, Names names, MethodDefinition method)
    {
        var access = method.Attributes & MethodAttributes.MemberAccessMask;
        if (access is not (MethodAttributes.Public or MethodAttributes.Family or MethodAttributes.FamORAssem))
        {
            return null;
        }

        var signature = method.DecodeSignature(names, null);
        var parameters = method.GetParameters().Select(reader.GetParameter).Where(p => p.SequenceNumber > 0).OrderBy(p => p.SequenceNumber).ToArray();
        var list = signature.ParameterTypes.Select((t, i) =>
            $"{t} {reader.GetString(parameters[i].Name)}{(parameters[i].Attributes.HasFlag(ParameterAttributes.Optional) ? " = default" : string.Empty)}");
        var dispatch = method.Attributes.HasFlag(MethodAttributes.Abstract) ? "abstract "
            : method.Attributes.HasFlag(MethodAttributes.Virtual) && !method.Attributes.HasFlag(MethodAttributes.Final) ? "virtual " : string.Empty;
        var isStatic = method.Attributes.HasFlag(MethodAttributes.Static) ? "static " : string.Empty;
        var constraints = string.Concat(method.GetGenericParameters().Select(p => Describe(reader, names, p)));
        return $"{access} {isStatic}{dispatch}{signature.ReturnType} {reader.GetString(method.Name)}({string.Join(", ", list)}){constraints}";
    }

    private static string? Describe(MetadataReader reader, Names names, FieldDefinition field)
    {
        var access = field.Attributes & FieldAttributes.FieldAccessMask;
        if (access is not (FieldAttributes.Public or FieldAttributes.Family or FieldAttributes.FamORAssem) || field.Attributes.HasFlag(FieldAttributes.SpecialName))
        {
            return null;
        }

        var constant = field.GetDefaultValue();
        var value = constant.IsNil ? string.Empty : $" = {Convert.ToHexString(reader.GetBlobBytes(reader.GetConstant(constant).Value))}";
        return $"{access} {field.DecodeSignature(names, null)} {reader.GetString(field.Name)}{value}";
    }

    private static string Describe(MetadataReader reader, Names names, GenericParameterHandle handle)
    {
        var parameter = reader.GetGenericParameter(handle);
        var types = parameter.GetConstraints().Select(c => names.Of(reader.GetGenericParameterConstraint(c).Type));
        return $" <{parameter.Attributes}: {string.Join(", ", types)}>";
    }

    private static string UsageOf(MetadataReader reader, Names names, TypeDefinition type)
    {
        foreach (var attribute in type.GetCustomAttributes().Select(reader.GetCustomAttribute))
        {
            if (attribute.Constructor.Kind == HandleKind.MemberReference
                && names.Of(reader.GetMemberReference((MemberReferenceHandle)attribute.Constructor).Parent) == "System.AttributeUsageAttribute")
            {
                var value = attribute.DecodeValue(names);
                var named = value.NamedArguments.Where(n => !Equals(n.Value, n.Name == "Inherited")).Select(n => $"{n.Name}={n.Value}").Order(StringComparer.Ordinal);
                return $" on {(AttributeTargets)value.FixedArguments[0].Value!} {string.Join(' ', named)}".TrimEnd();
            }
        }

        return string.Empty;
    }

    private sealed class Names(MetadataReader reader) : ISignatureTypeProvider<string, object?>, ICustomAttributeTypeProvider<string>
    {
        internal string? Of(EntityHandle handle) => handle.IsNil ? null : handle.Kind switch
        {
            HandleKind.TypeDefinition => Of(reader.GetTypeDefinition((TypeDefinitionHandle)handle)),
            HandleKind.TypeReference => GetTypeFromReference(reader, (TypeReferenceHandle)handle, 0),
            _ => reader.GetTypeSpecification((TypeSpecificationHandle)handle).DecodeSignature(this, null),
        };

        internal string Of(TypeDefinition type) => type.GetDeclaringType().IsNil
            ? Join(reader.GetString(type.Namespace), reader.GetString(type.Name))
            : $"{Of(type.GetDeclaringType())}+{reader.GetString(type.Name)}";

        public string GetTypeFromDefinition(MetadataReader r, TypeDefinitionHandle handle, byte rawTypeKind) => Of(r.GetTypeDefinition(handle));

        public string GetTypeFromReference(MetadataReader r, TypeReferenceHandle handle, byte rawTypeKind)
        {
            var type = r.GetTypeReference(handle);
            return type.ResolutionScope.Kind == HandleKind.TypeReference
                ? $"{GetTypeFromReference(r, (TypeReferenceHandle)type.ResolutionScope, 0)}+{r.GetString(type.Name)}"
                : Join(r.GetString(type.Namespace), r.GetString(type.Name));
        }

        public string GetTypeFromSpecification(MetadataReader r, object? genericContext, TypeSpecificationHandle handle, byte rawTypeKind) =>
            r.GetTypeSpecification(handle).DecodeSignature(this, genericContext);

        public string GetGenericInstantiation(string genericType, ImmutableArray<string> typeArguments) => $"{genericType}<{string.Join(", ", typeArguments)}>";

        public string GetGenericMethodParameter(object? genericContext, int index) => $"!!{index}";

        public string GetGenericTypeParameter(object? genericContext, int index) => $"!{index}";

        public string GetModifiedType(string modifier, string unmodifiedType, bool isRequired) => isRequired ? $"{unmodifiedType} modreq({modifier})" : unmodifiedType;

        public string GetPrimitiveType(PrimitiveTypeCode typeCode) => $"System.{typeCode}";

        public string GetArrayType(string elementType, ArrayShape shape) => $"{elementType}[{new string(',', shape.Rank - 1)}]";

        public string GetSZArrayType(string elementType) => $"{elementType}[]";

        public string GetByReferenceType(string elementType) => $"{elementType}&";

        public string GetPointerType(string elementType) => $"{elementType}*";

        public string GetPinnedType(string elementType) => elementType;

        public string GetFunctionPointerType(MethodSignature<string> signature) => "function pointer";

        public string GetSystemType() => "System.Type";

        public bool IsSystemType(string type) => type == "System.Type";

        public string GetTypeFromSerializedName(string name) => name;

        public PrimitiveTypeCode GetUnderlyingEnumType(string type) => PrimitiveTypeCode.Int32;

        private static string Join(string ns, string name) => ns.Length == 0 ? name : $"{ns}.{name}";
    }
}
