"""Columns of results of the Water Quality Portal.

References
----------
National Water Quality Monitoring Council, Water Quality Portal User Guide: result columns, legacy and WQX 3.0.
"""

from __future__ import annotations

#: Our word for each column, and what it is called in the old and in the new set.
COLUMNS = {
    "station": ("MonitoringLocationIdentifier", "Location_Identifier"),
    "name": ("MonitoringLocationName", "Location_Name"),
    "lat": ("LatitudeMeasure", "Location_Latitude"),
    "lon": ("LongitudeMeasure", "Location_Longitude"),
    "datum": ("HorizontalCoordinateReferenceSystemDatumName", "Location_HorzCoordReferenceSystemDatum"),
    "date": ("ActivityStartDate", "Activity_StartDate"),
    "clock": ("ActivityStartTime/Time", "Activity_StartTime"),
    "zone": ("ActivityStartTime/TimeZoneCode", "Activity_StartTimeZone"),
    "type": ("ActivityTypeCode", "Activity_TypeCode"),
    "media": ("ActivityMediaName", "Activity_Media"),
    "activity": ("ActivityIdentifier", "Activity_ActivityIdentifier"),
    "depth": ("ActivityDepthHeightMeasure/MeasureValue", "Activity_DepthHeightMeasure"),
    "depth_unit": ("ActivityDepthHeightMeasure/MeasureUnitCode", "Activity_DepthHeightMeasureUnit"),
    "result_depth": ("ResultDepthHeightMeasure/MeasureValue", "ResultDepthHeight_Measure"),
    "result_depth_unit": ("ResultDepthHeightMeasure/MeasureUnitCode", "ResultDepthHeight_MeasureUnit"),
    "top": ("ActivityTopDepthHeightMeasure/MeasureValue", "Activity_TopDepthMeasure"),
    "bottom": ("ActivityBottomDepthHeightMeasure/MeasureValue", "Activity_BottomDepthMeasure"),
    "characteristic": ("CharacteristicName", "Result_Characteristic"),
    "fraction": ("ResultSampleFractionText", "Result_SampleFraction"),
    "species": ("MethodSpeciationName", "Result_MethodSpeciation"),
    "value": ("ResultMeasureValue", "Result_Measure"),
    "unit": ("ResultMeasure/MeasureUnitCode", "Result_MeasureUnit"),
    "qualifier": ("MeasureQualifierCode", "Result_MeasureQualifierCode"),
    "status": ("ResultStatusIdentifier", "Result_MeasureStatusIdentifier"),
    "kind": ("ResultValueTypeName", "Result_MeasureType"),
    "condition": ("ResultDetectionConditionText", "Result_ResultDetectionCondition"),
    "limit_type": ("DetectionQuantitationLimitTypeName", "DetectionLimit_TypeA"),
    "limit": ("DetectionQuantitationLimitMeasure/MeasureValue", "DetectionLimit_MeasureA"),
    "limit_unit": ("DetectionQuantitationLimitMeasure/MeasureUnitCode", "DetectionLimit_MeasureUnitA"),
    "limit_type_b": ("", "DetectionLimit_TypeB"),
    "limit_b": ("", "DetectionLimit_MeasureB"),
    "limit_unit_b": ("", "DetectionLimit_MeasureUnitB"),
    "method": ("ResultAnalyticalMethod/MethodName", "ResultAnalyticalMethod_Name"),
}
