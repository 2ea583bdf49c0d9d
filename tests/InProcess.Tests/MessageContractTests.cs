using System.Collections.Immutable;
using System.Reflection;
using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;
using Orleans;

namespace KlineOrleans.InProcess.Tests;

/// <summary>Everything that travels between grains can be carried by Orleans' serializer and needs no copy in one process.</summary>
public sealed class MessageContractTests
{
    /// <summary>What Orleans carries without our help. Generic ones: their arguments are looked at.</summary>
    private static readonly HashSet<Type> Framework =
    [
        typeof(bool), typeof(byte), typeof(int), typeof(long), typeof(ulong), typeof(double), typeof(decimal), typeof(string), typeof(DateTimeOffset), typeof(TimeSpan), typeof(Guid),
        typeof(CancellationToken), typeof(Nullable<>), typeof(ImmutableArray<>), typeof(ImmutableSortedDictionary<,>),
    ];

    private static readonly Type[] StreamItems = [typeof(KlineUpdate), typeof(ChainEventUpdate)];

    private static IEnumerable<Type> GrainInterfaces => typeof(IKlineGrain).Assembly.GetTypes().Where(t => t.IsInterface && t.IsAssignableTo(typeof(IGrain)));

    [Fact]
    public void Every_type_that_grains_and_streams_carry_says_how()
    {
        var seen = new HashSet<Type>();
        var errors = new List<string>();
        foreach (var type in StreamItems.Concat(GrainInterfaces.SelectMany(i => i.GetMethods()).SelectMany(m => m.GetParameters().Select(p => p.ParameterType).Append(Unwrap(m.ReturnType)))))
        {
            Walk(type, seen, errors);
        }

        Assert.Empty(errors);
        Assert.Contains(typeof(Trade), seen);
        Assert.True(seen.Count >= 12, $"Only {seen.Count} types were reached.");
    }

    [Fact]
    public void Every_type_marked_for_the_serializer_says_how()
    {
        var seen = new HashSet<Type>();
        var errors = new List<string>();
        foreach (var type in typeof(IKlineGrain).Assembly.GetTypes().Where(t => t.IsDefined(typeof(GenerateSerializerAttribute), inherit: false)))
        {
            Walk(type, seen, errors);
        }

        Assert.Empty(errors);
        var aliases = seen.Select(t => t.GetCustomAttribute<AliasAttribute>(inherit: false)!.Alias).Concat(GrainInterfaces.Select(i => i.GetCustomAttribute<AliasAttribute>()!.Alias)).ToArray();
        Assert.Equal(aliases.Length, aliases.Distinct(StringComparer.Ordinal).Count());
    }

    [Fact]
    public void Every_grain_interface_and_method_has_an_alias()
    {
        Assert.NotEmpty(GrainInterfaces);
        foreach (var grain in GrainInterfaces)
        {
            Assert.True(grain.IsDefined(typeof(AliasAttribute)), $"{grain} has no [Alias].");
            Assert.All(grain.GetMethods(), m => Assert.True(m.IsDefined(typeof(AliasAttribute)), $"{grain}.{m.Name} has no [Alias]."));
            Assert.Equal(grain.GetMethods().Length, grain.GetMethods().Select(m => m.GetCustomAttribute<AliasAttribute>()!.Alias).Distinct(StringComparer.Ordinal).Count());
        }
    }

    [Fact]
    public void Walk_finds_what_is_missing()
    {
        var errors = new List<string>();
        Walk(typeof(ImmutableArray<Bad?>), [], errors);
        Assert.Equal(
            ["Bad has no [Alias].", "Bad has no [GenerateSerializer].", "Bad is not [Immutable].", "Bad.First has no [Id].", "Bad.Second has an [Id] twice: 1.", "Bad._third has no [Id].", "List`1 is not known to travel."],
            errors.Order(StringComparer.Ordinal));
    }

    private static Type Unwrap(Type type) =>
        type == typeof(Task) || type == typeof(ValueTask) ? typeof(bool) : type.IsGenericType && (type.GetGenericTypeDefinition() == typeof(Task<>) || type.GetGenericTypeDefinition() == typeof(ValueTask<>)) ? type.GetGenericArguments()[0] : type;

    private static void Walk(Type type, HashSet<Type> seen, List<string> errors)
    {
        if (type.IsGenericType && Framework.Contains(type.GetGenericTypeDefinition()))
        {
            foreach (var argument in type.GetGenericArguments())
            {
                Walk(argument, seen, errors);
            }

            return;
        }

        if (Framework.Contains(type))
        {
            return;
        }

        if (type.Assembly != typeof(IKlineGrain).Assembly && type.Assembly != typeof(MessageContractTests).Assembly)
        {
            errors.Add($"{type.Name} is not known to travel.");
            return;
        }

        if (!seen.Add(type))
        {
            return;
        }

        foreach (var attribute in new[] { typeof(GenerateSerializerAttribute), typeof(AliasAttribute) })
        {
            if (!type.IsDefined(attribute, inherit: false))
            {
                errors.Add($"{type.Name} has no [{attribute.Name.Replace("Attribute", string.Empty, StringComparison.Ordinal)}].");
            }
        }

        if (type.IsEnum)
        {
            return;
        }

        if (!type.IsDefined(typeof(ImmutableAttribute), inherit: false))
        {
            errors.Add($"{type.Name} is not [Immutable].");
        }

        var ids = new HashSet<uint>();
        foreach (var field in type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
        {
            MemberInfo member = field.IsDefined(typeof(CompilerGeneratedAttribute)) && field.Name[0] == '<'
                ? type.GetProperty(field.Name[1..field.Name.IndexOf('>', StringComparison.Ordinal)], BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)!
                : field;
            if (member.GetCustomAttribute<IdAttribute>() is not { } id)
            {
                errors.Add($"{type.Name}.{member.Name} has no [Id].");
            }
            else if (!ids.Add(id.Id))
            {
                errors.Add($"{type.Name}.{member.Name} has an [Id] twice: {id.Id}.");
            }

            Walk(field.FieldType, seen, errors);
        }
    }

    private readonly record struct Bad(int First, [property: Id(1)] List<int> Zero, [property: Id(1)] int Second)
    {
        private readonly int _third = First;

        public int Sum => _third + Second;
    }
}
