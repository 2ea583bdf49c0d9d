namespace Orleans;

/// <summary>Anything a grain call can be made on.</summary>
public interface IAddressable;

/// <summary>The base of every grain interface.</summary>
public interface IGrain : IAddressable;

/// <summary>A grain named by a string.</summary>
public interface IGrainWithStringKey : IGrain;
