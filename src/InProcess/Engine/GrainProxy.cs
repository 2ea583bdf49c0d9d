using System.Collections.Concurrent;
using System.Reflection;
using System.Reflection.Emit;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace KlineOrleans.InProcess;

/// <summary>A reference to a grain. Generated classes derive from it and implement the grain interface. Thread safe.</summary>
internal abstract class GrainProxy(GrainClass grainClass, string key) : IAddressable, IEquatable<GrainProxy>
{
    private Activation? _activation;

    internal GrainEngine Engine => grainClass.Engine;

    internal GrainId GrainId => grainClass.IdOf(key);

    internal Task Send(VoidRequest request)
    {
        var task = request.Open();
        Send((GrainRequest)request);
        return task;
    }

    internal Task<TResult> Send<TResult>(ResultRequest<TResult> request)
    {
        var task = request.Open();
        Send((GrainRequest)request);
        return task;
    }

    internal void Resend(GrainRequest request) => Deliver(request);

    public bool Equals(GrainProxy? other) => other is not null && other.GetType() == GetType() && other.GrainId == GrainId && other.Engine == Engine;

    public override bool Equals(object? obj) => Equals(obj as GrainProxy);

    public override int GetHashCode() => GrainId.GetHashCode();

    public override string ToString() => GrainId.ToString();

    private void Send(GrainRequest request)
    {
        request.Begin(this, Engine.Now);
        Deliver(request);
    }

    private void Deliver(GrainRequest request)
    {
        var activation = _activation;
        if (activation is null || activation.IsGone)
        {
            activation = grainClass.GetOrCreate(key, out var refusal);
            if (activation is null)
            {
                request.Fail(refusal!);
                return;
            }

            _activation = activation;
        }

        activation.Enqueue(request);
    }
}

/// <summary>Makes proxy classes: one for each grain interface and process.</summary>
internal static class ProxyBuilder
{
    private static readonly ConcurrentDictionary<Type, Lazy<Func<GrainClass, string, GrainProxy>>> Factories = new();

    /// <exception cref="NotSupportedException">The interface has a member that cannot be called from afar.</exception>
    internal static Func<GrainClass, string, GrainProxy> FactoryFor(Type grainInterface) =>
        Factories.GetOrAdd(grainInterface, static type => new(() => Build(type))).Value;

    private static Func<GrainClass, string, GrainProxy> Build(Type grainInterface)
    {
        if (!grainInterface.IsInterface || grainInterface.ContainsGenericParameters)
        {
            throw new NotSupportedException($"{grainInterface} is not a closed interface.");
        }

        var name = $"KlineOrleans.InProcess.Proxies.{grainInterface.FullName}";
        var assembly = AssemblyBuilder.DefineDynamicAssembly(new AssemblyName(name), AssemblyBuilderAccess.Run);
        Type[] interfaces = [grainInterface, .. grainInterface.GetInterfaces()];
        var methods = interfaces.SelectMany(i => i.GetMethods(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance)).Where(m => m.IsAbstract).ToArray();
        AllowAccess(assembly, methods.SelectMany(m => m.GetParameters().Select(p => p.ParameterType).Append(m.ReturnType)).Concat(interfaces).Append(typeof(GrainProxy)));

        var module = assembly.DefineDynamicModule(name);
        var proxy = module.DefineType("Proxy", TypeAttributes.Class | TypeAttributes.Public | TypeAttributes.Sealed, typeof(GrainProxy), [grainInterface]);
        DefineConstructor(proxy);
        for (var i = 0; i < methods.Length; i++)
        {
            DefineMethod(module, proxy, methods[i], i);
        }

        var constructor = proxy.CreateType().GetConstructor([typeof(GrainClass), typeof(string)])!;
        var factory = new DynamicMethod("New", typeof(GrainProxy), [typeof(GrainClass), typeof(string)], typeof(GrainProxy).Module, skipVisibility: true);
        var il = factory.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Ldarg_1);
        il.Emit(OpCodes.Newobj, constructor);
        il.Emit(OpCodes.Ret);
        return factory.CreateDelegate<Func<GrainClass, string, GrainProxy>>();
    }

    /// <summary>Grain interfaces and messages may be internal: the runtime honours this attribute, which C# does not know.</summary>
    private static void AllowAccess(AssemblyBuilder assembly, IEnumerable<Type> types)
    {
        var attribute = typeof(System.Runtime.CompilerServices.IgnoresAccessChecksToAttribute).GetConstructor([typeof(string)])!;
        foreach (var name in types.SelectMany(AssembliesOf).Distinct(StringComparer.Ordinal))
        {
            assembly.SetCustomAttribute(new CustomAttributeBuilder(attribute, [name]));
        }

        static IEnumerable<string> AssembliesOf(Type type) =>
            type.GetGenericArguments().SelectMany(AssembliesOf).Append(type.Assembly.GetName().Name!);
    }

    private static void DefineConstructor(TypeBuilder proxy)
    {
        var constructor = proxy.DefineConstructor(MethodAttributes.Public, CallingConventions.HasThis, [typeof(GrainClass), typeof(string)]);
        var il = constructor.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Ldarg_1);
        il.Emit(OpCodes.Ldarg_2);
        il.Emit(OpCodes.Call, typeof(GrainProxy).GetConstructors(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Single());
        il.Emit(OpCodes.Ret);
    }

    private static void DefineMethod(ModuleBuilder module, TypeBuilder proxy, MethodInfo method, int number)
    {
        var result = method.ReturnType;
        var isValueTask = result == typeof(ValueTask) || (result.IsGenericType && result.GetGenericTypeDefinition() == typeof(ValueTask<>));
        var isTask = result == typeof(Task) || (result.IsGenericType && result.GetGenericTypeDefinition() == typeof(Task<>));
        var parameters = method.GetParameters();
        if (!(isTask || isValueTask) || method.IsGenericMethodDefinition || parameters.Any(p => p.ParameterType.IsByRef || p.ParameterType.IsByRefLike))
        {
            throw new NotSupportedException($"{method.DeclaringType}.{method.Name}: a grain method returns Task, Task<T>, ValueTask or ValueTask<T>, is not generic, and has no ref parameter.");
        }

        var parent = result.IsGenericType ? typeof(ResultRequest<>).MakeGenericType(result.GetGenericArguments()) : typeof(VoidRequest);
        var request = DefineRequest(module, method, parent, isValueTask, number);
        var types = parameters.Select(p => p.ParameterType).ToArray();
        var builder = proxy.DefineMethod(
            $"{method.DeclaringType!.Name}.{method.Name}", MethodAttributes.Private | MethodAttributes.Virtual | MethodAttributes.Final | MethodAttributes.HideBySig | MethodAttributes.NewSlot, result, types);
        var il = builder.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Call, typeof(RequestPool<>).MakeGenericType(request).GetMethod("Rent")!);
        for (var i = 0; i < types.Length; i++)
        {
            il.Emit(OpCodes.Dup);
            il.Emit(OpCodes.Ldarg, i + 1);
            il.Emit(OpCodes.Stfld, request.GetField($"Argument{i}")!);
        }

        var sends = typeof(GrainProxy).GetMethods(BindingFlags.Instance | BindingFlags.NonPublic).Where(m => m.Name == "Send" && m.ReturnType != typeof(void));
        il.Emit(OpCodes.Call, result.IsGenericType ? sends.Single(m => m.IsGenericMethod).MakeGenericMethod(result.GetGenericArguments()) : sends.Single(m => !m.IsGenericMethod));
        if (isValueTask)
        {
            il.Emit(OpCodes.Newobj, result.GetConstructor([result.IsGenericType ? typeof(Task<>).MakeGenericType(result.GetGenericArguments()) : typeof(Task)])!);
        }

        il.Emit(OpCodes.Ret);
        proxy.DefineMethodOverride(builder, method);
    }

    private static Type DefineRequest(ModuleBuilder module, MethodInfo method, Type parent, bool isValueTask, int number)
    {
        const MethodAttributes Override = MethodAttributes.Assembly | MethodAttributes.Virtual | MethodAttributes.HideBySig;
        var type = module.DefineType($"Request{number}.{method.Name}", TypeAttributes.Class | TypeAttributes.Public | TypeAttributes.Sealed, parent);
        type.DefineDefaultConstructor(MethodAttributes.Public);
        var fields = method.GetParameters().Select((p, i) => type.DefineField($"Argument{i}", p.ParameterType, FieldAttributes.Public)).ToArray();

        var call = type.DefineMethod("Call", Override, typeof(Task), [typeof(object)]);
        var il = call.GetILGenerator();
        il.Emit(OpCodes.Ldarg_1);
        il.Emit(OpCodes.Castclass, method.DeclaringType!);
        foreach (var field in fields)
        {
            il.Emit(OpCodes.Ldarg_0);
            il.Emit(OpCodes.Ldfld, field);
        }

        il.Emit(OpCodes.Callvirt, method);
        if (isValueTask)
        {
            var local = il.DeclareLocal(method.ReturnType);
            il.Emit(OpCodes.Stloc, local);
            il.Emit(OpCodes.Ldloca, local);
            il.Emit(OpCodes.Call, method.ReturnType.GetMethod("AsTask")!);
        }

        il.Emit(OpCodes.Ret);
        type.DefineMethodOverride(call, typeof(GrainRequest).GetMethod("Call", BindingFlags.Instance | BindingFlags.NonPublic)!);

        var parentClear = parent.GetMethod("Clear", BindingFlags.Instance | BindingFlags.NonPublic)!;
        var clear = type.DefineMethod("Clear", Override, typeof(void), []);
        il = clear.GetILGenerator();
        foreach (var field in fields.Where(f => !f.FieldType.IsPrimitive))
        {
            il.Emit(OpCodes.Ldarg_0);
            il.Emit(OpCodes.Ldflda, field);
            il.Emit(OpCodes.Initobj, field.FieldType);
        }

        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Call, parentClear);
        il.Emit(OpCodes.Ret);
        type.DefineMethodOverride(clear, typeof(GrainRequest).GetMethod("Clear", BindingFlags.Instance | BindingFlags.NonPublic)!);

        DefineConstant(type, typeof(GrainRequest), "Name", typeof(string), g => g.Emit(OpCodes.Ldstr, $"{method.DeclaringType!.Name}.{method.Name}"));
        if (method.IsDefined(typeof(AlwaysInterleaveAttribute)))
        {
            DefineConstant(type, typeof(Turn), "AlwaysInterleaves", typeof(bool), g => g.Emit(OpCodes.Ldc_I4_1));
        }

        if (method.IsDefined(typeof(ReadOnlyAttribute)))
        {
            DefineConstant(type, typeof(Turn), "IsReadOnly", typeof(bool), g => g.Emit(OpCodes.Ldc_I4_1));
        }

        return type.CreateType();

        static void DefineConstant(TypeBuilder type, Type declaring, string property, Type result, Action<ILGenerator> load)
        {
            var getter = type.DefineMethod($"get_{property}", Override | MethodAttributes.SpecialName, result, []);
            var il = getter.GetILGenerator();
            load(il);
            il.Emit(OpCodes.Ret);
            type.DefineMethodOverride(getter, declaring.GetProperty(property, BindingFlags.Instance | BindingFlags.NonPublic)!.GetMethod!);
        }
    }
}
